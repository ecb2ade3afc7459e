#!/usr/bin/env python3
"""The workloads of `deno task bench` in PyTorch eager with Hugging Face generate, to compare with on the same machine.

    python3 tests/bench/torch_step.py [small] [gpt2] [large] [--steps N] [--device cuda|cpu] [--json]

Needs torch and transformers, and no file but workloads.json: models are initialised at random. A step does the arithmetic
of PPO as `ppoStep` does, in f32 (no TF32, no autocast): sample with generate and a KV cache, log-probabilities of policy and
reference, values by a head on the policy's trunk, GAE, the same epochs and minibatches of the clipped losses, gradients
clipped to norm 1, AdamW. It is kept lean, so as not to win against straw: logits are computed for response tokens only,
and the KL is that of the sampled tokens in the reward, where KL Guard also takes the exact KL over the vocabulary, once
for the metrics and once an epoch for the loss.
"""

import argparse
import json
import pathlib
import statistics
import time

import torch
import transformers
from torch.nn.functional import log_softmax, mse_loss

WORKLOADS = json.loads((pathlib.Path(__file__).parent / "workloads.json").read_text())
WARM_UP = 2
KL_WEIGHT, GAMMA, LAMBDA, CLIP, VALUE_CLIP, VALUE_WEIGHT = 0.2, 1.0, 0.95, 0.2, 0.2, 0.1


class Policy(torch.nn.Module):
    """GPT-2 with a value for every position."""

    def __init__(self, language_model):
        super().__init__()
        self.lm = language_model
        self.value_head = torch.nn.Linear(language_model.config.n_embd, 1)

    def forward(self, ids, prompt):
        """Log-probabilities and values of the response tokens, both (B, R)."""
        hidden = self.lm.transformer(ids).last_hidden_state[:, prompt - 1 : -1]
        logprobs = log_softmax(self.lm.lm_head(hidden), dim=-1)
        taken = logprobs.gather(-1, ids[:, prompt:, None]).squeeze(-1)
        return taken, self.value_head(hidden).squeeze(-1)


class Clock:
    """Seconds of phases, after everything on the device is done."""

    def __init__(self, device):
        self.device, self.seconds = device, {}
        self.last = self.now()

    def now(self):
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def lap(self, phase):
        now = self.now()
        self.seconds[phase] = now - self.last
        self.last = now


def models(work, device):
    config = transformers.GPT2Config(
        vocab_size=work["vocabulary"],
        n_positions=1024,
        n_embd=work["width"],
        n_layer=work["layers"],
        n_head=work["heads"],
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    policy = Policy(transformers.GPT2LMHeadModel(config)).to(device)
    reference = Policy(transformers.GPT2LMHeadModel(config)).to(device).requires_grad_(False)
    reference.load_state_dict(policy.state_dict())
    return policy, reference


def generate(policy, prompts, length):
    return policy.lm.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        do_sample=True,
        top_k=0,
        max_new_tokens=length,
        min_new_tokens=length,
    )


def advantages_of(scores, logprobs, reference_logprobs, values):
    """Generalised advantage estimation, Schulman et al. 2016 (arXiv:1506.02438); advantages and returns (B, R)."""
    rewards = -KL_WEIGHT * (logprobs - reference_logprobs)
    rewards[:, -1] += scores
    advantages = torch.zeros_like(values)
    following = torch.zeros_like(scores)
    length = values.shape[1]
    for t in reversed(range(length)):
        next_value = values[:, t + 1] if t + 1 < length else torch.zeros_like(scores)
        delta = rewards[:, t] + GAMMA * next_value - values[:, t]
        following = delta + GAMMA * LAMBDA * following
        advantages[:, t] = following
    returns = advantages + values
    return (advantages - advantages.mean()) / (advantages.std() + 1e-8), returns


def update(policy, optimizer, work, ids, old_logprobs, old_values, advantages, returns):
    for _ in range(work["epochs"]):
        for rows in torch.randperm(len(ids), device=ids.device).split(work["miniBatchSize"]):
            logprobs, values = policy(ids[rows], work["prompt"])
            ratio = (logprobs - old_logprobs[rows]).exp()
            gain = advantages[rows]
            policy_loss = -torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
            before = old_values[rows]
            clipped = before + (values - before).clamp(-VALUE_CLIP, VALUE_CLIP)
            value_loss = 0.5 * torch.maximum(
                mse_loss(values, returns[rows], reduction="none"),
                mse_loss(clipped, returns[rows], reduction="none"),
            ).mean()
            (policy_loss + VALUE_WEIGHT * value_loss).backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return policy_loss.item()  # a read-back, as the metrics need


def ppo_step(policy, reference, optimizer, work, prompts, device):
    """One step; seconds of its phases."""
    clock = Clock(device)
    with torch.no_grad():
        ids = generate(policy, prompts, work["response"])
        clock.lap("generate")
        scores = (ids[:, work["prompt"]] % 7).float()
        clock.lap("score")
        logprobs, values = policy(ids, work["prompt"])
        reference_logprobs, _ = reference(ids, work["prompt"])
        clock.lap("forward")
        advantages, returns = advantages_of(scores, logprobs, reference_logprobs, values)
        clock.lap("advantages")
    update(policy, optimizer, work, ids, logprobs, values, advantages, returns)
    clock.lap("update")
    return clock.seconds


def bench(name, steps, device):
    work = WORKLOADS[name]
    torch.manual_seed(1)
    policy, reference = models(work, device)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-5)
    shape = (work["batchSize"], work["prompt"])
    prompts = torch.randint(1, work["vocabulary"], shape, device=device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    taken = [
        ppo_step(policy, reference, optimizer, work, prompts, device)
        for _ in range(WARM_UP + steps)
    ][WARM_UP:]
    phases = {
        phase: {"seconds": statistics.median(step[phase] for step in taken)} for phase in taken[0]
    }
    every = [sum(step.values()) for step in taken]
    seconds = statistics.median(every)
    tokens = work["batchSize"] * work["response"]
    return {
        "name": name,
        "workload": work,
        "adapter": {"description": description(device)},
        "step": {
            "steps": steps,
            "seconds": seconds,
            "everySecond": every,
            "tokensPerSecond": tokens / seconds,
            "generatedPerSecond": tokens / phases["generate"]["seconds"],
            **({"peakBytes": torch.cuda.max_memory_allocated()} if device == "cuda" else {}),
            "phases": phases,
        },
        "generation": [
            generation(policy, rows, device) for rows in ([1, 16] if name == "gpt2" else [])
        ],
    }


def generation(policy, rows, device, length=64):
    """Tokens per second of some rows together, prompts of 8, after one to warm up."""
    prompts = torch.arange(1, 1 + 8 * rows, device=device).reshape(rows, 8)
    for _ in range(2):
        clock = Clock(device)
        with torch.no_grad():
            generate(policy, prompts, length)
        clock.lap("generate")
    return {"rows": rows, "tokensPerSecond": rows * length / clock.seconds["generate"]}


def description(device):
    on = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    return f"PyTorch {torch.__version__}, transformers {transformers.__version__}, {on}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", default=[], choices=[[], *WORKLOADS])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_float32_matmul_precision("highest")  # f32 is f32
    torch.backends.cudnn.allow_tf32 = False
    transformers.logging.set_verbosity_error()
    for name in options.workloads or ["small", "gpt2"]:
        result = bench(name, options.steps, options.device)
        if options.json:
            print(json.dumps(result), flush=True)
            continue
        step = result["step"]
        print(f"{name}: one PPO step {step['seconds']:.3f} s (median of {step['steps']}), "
              f"{step['tokensPerSecond']:.0f} response tokens/s, {result['adapter']['description']}")
        for phase, of in step["phases"].items():
            print(f"  {phase:<12}{of['seconds']:8.3f} s")
        for of in result["generation"]:
            print(f"  generating at batch {of['rows']}: {of['tokensPerSecond']:.0f} tokens/s together")


if __name__ == "__main__":
    main()
