#!/usr/bin/env bash
# All benches on a fresh machine with a graphics card: tests/bench/gpu.sh FOLDER [WORKLOAD...]
#
# Into FOLDER go what was printed, JSON for programs and scale.svg; what belongs into RESULTS.md is in FOLDER/summary.md.
# A part that fails is named in the summary, and the others go on. Workloads are small, gpt2 and large by default.
#
# The comparison with PyTorch runs where python3 (or $PYTHON) has torch and transformers:
#   python3 -m venv venv && venv/bin/pip install torch transformers && PYTHON=venv/bin/python tests/bench/gpu.sh out
set -uo pipefail

out=$(mkdir -p "${1:?Cannot run the benches: give a folder for the results}" && cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- small gpt2 large
workloads=("$@")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
deno=./denow
python=${PYTHON:-python3}
summary=$out/summary.md
peers=(--config tests/bench/peers/deno.json tests/bench/peers.ts --large)

# part TITLE FILE COMMAND...: runs a command, keeps what it prints in FILE, and in the summary what failed.
part() {
  local title=$1 name=$2
  local file=$out/$name
  shift 2
  printf '\n=== %s ===\n' "$title"
  "$@" 2>"$file.errors" | tee "$file"
  local status=${PIPESTATUS[0]}
  [ -s "$file.errors" ] || rm -f "$file.errors"
  [ "$status" = 0 ] || printf -- '- %s FAILED with status %s: see %s.errors\n' "$title" "$status" "$name" >>"$summary"
}

# section TITLE FILE: a file as a part of the summary.
section() {
  printf '\n## %s\n\n' "$1" >>"$summary"
  cat "$out/$2" >>"$summary"
}

{
  printf '# %s\n\n' "$(date -u '+%Y-%m-%d %H:%M UTC')"
  printf -- '- Commit: %s\n' "$(git describe --always --dirty 2>/dev/null)"
  printf -- '- Deno: %s\n' "$($deno --version | head -n 1)"
  printf -- '- Command: `tests/bench/gpu.sh %s`\n' "${workloads[*]}"
  nvidia-smi --query-gpu=name,driver_version,power.limit --format=csv,noheader 2>/dev/null | sed 's/^/- GPU: /'
} >"$summary"

part "tests of the kernels" kernels.txt $deno task test kernels
part "workloads" workloads.jsonl $deno task bench "${workloads[@]}" --steps 5 --json
part "workloads, tables" workloads.txt $deno task bench "${workloads[@]}" --steps 5
part "products" products.txt $deno run --allow-env tests/bench/matmul_bench.ts
part "products beside other libraries" peers.md $deno run --allow-read --allow-env "${peers[@]}"
part "scale" scale.md \
  $deno run --allow-read --allow-write --allow-env tests/bench/scale.ts --full --out "$out"
if "$python" -c 'import torch, transformers' 2>/dev/null; then
  part "PyTorch" torch.jsonl "$python" tests/bench/torch_step.py "${workloads[@]}" --steps 5 --json
  part "ours beside PyTorch" torch.md \
    $deno run --allow-read tests/bench/side_by_side.ts "$out/workloads.jsonl" "$out/torch.jsonl"
else
  printf -- '- PyTorch was not compared: %s has no torch and transformers\n' "$python" >>"$summary"
fi

printf -- '- Tests of the kernels: %s\n' "$(tail -n 1 "$out/kernels.txt")" >>"$summary"
[ -s "$out/torch.md" ] && section "Beside PyTorch eager and Hugging Face generate, f32" torch.md
section "Products beside other libraries on WebGPU" peers.md
section "Scale" scale.md
{
  printf '\n## Workloads\n\n```\n'
  cat "$out/workloads.txt"
  printf '```\n'
} >>"$summary"
printf '\nthe results are in %s\n' "$summary"
! grep -q FAILED "$summary"
