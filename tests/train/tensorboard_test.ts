/** Event files as another decoder reads them: protobufjs with the schema of tensorflow/core. */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import protobuf from "protobufjs";
import { crc32c, fileVersion, summaryEvent } from "../../train/tensorboard.ts";

/** The parts of event.proto, summary.proto, histogram.proto, tensor.proto and tensor_shape.proto in use. */
const SCHEMA = `
syntax = "proto3";
message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }
message Summary { repeated Value value = 1; }
message Value { string tag = 1; float simple_value = 2; HistogramProto histo = 5; TensorProto tensor = 8; SummaryMetadata metadata = 9; }
message HistogramProto { double min = 1; double max = 2; double num = 3; double sum = 4; double sum_squares = 5;
  repeated double bucket_limit = 6 [packed = true]; repeated double bucket = 7 [packed = true]; }
message TensorProto { int32 dtype = 1; TensorShapeProto tensor_shape = 2; repeated bytes string_val = 8; }
message TensorShapeProto { repeated Dim dim = 2; }
message Dim { int64 size = 1; }
message SummaryMetadata { PluginData plugin_data = 1; }
message PluginData { string plugin_name = 1; }
`;
const Event = protobuf.parse(SCHEMA).root.lookupType("Event");

/** The data of every record, after its two checksums were checked. */
function records(file: Uint8Array): Uint8Array[] {
  const found = [];
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true));
    const data = file.subarray(at + 12, at + 12 + length);
    assertEquals(view.getUint32(at + 8, true), maskedCrc(file.subarray(at, at + 8)));
    assertEquals(view.getUint32(at + 12 + length, true), maskedCrc(data));
    found.push(data);
    at += 16 + length;
  }
  return found;
}

function maskedCrc(bytes: Uint8Array): number {
  const crc = BigInt(crc32c(bytes));
  return Number(((crc >> 15n | crc << 17n) + 0xa282ead8n) & 0xffffffffn);
}

// deno-lint-ignore no-explicit-any -- a decoded message has the schema's fields
function decode(data: Uint8Array): any {
  return Event.toObject(Event.decode(data), { longs: Number, arrays: true, bytes: Array });
}

Deno.test("crc32c() gives the check values of RFC 3720 and the catalogue", () => {
  assertEquals(crc32c(new TextEncoder().encode("123456789")), 0xe3069283);
  assertEquals(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assertEquals(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
});

Deno.test("an event file begins with its version", () => {
  const [first] = records(fileVersion(12.5)).map(decode);
  assertEquals([first.wallTime, first.fileVersion], [12.5, "brain.Event:2"]);
});

Deno.test("scalars, histograms and texts are read back", () => {
  const step = 5_000_000_000; // does not fit 32 bits
  const [event] = records(summaryEvent({
    wallTime: 1.5,
    step,
    values: [
      { tag: "objective/kl", scalar: 0.25 },
      { tag: "scores", histogram: [1, 2, 2, 4, NaN] },
      { tag: "sample", text: "gut – 好".repeat(40) }, // longer than one byte can count
    ],
  })).map(decode);
  assertEquals([event.step, event.wallTime], [step, 1.5]);
  const [scalar, histogram, text] = event.summary.value;
  assertEquals([scalar.tag, scalar.simpleValue], ["objective/kl", 0.25]);
  assertEquals(text.metadata.pluginData.pluginName, "text");
  assertEquals(text.tensor.dtype, 7);
  assertEquals(text.tensor.tensorShape.dim, [{ size: 1 }]);
  assertEquals(
    new TextDecoder().decode(new Uint8Array(text.tensor.stringVal[0])),
    "gut – 好".repeat(40),
  );

  const { min, max, num, sum, sumSquares, bucketLimit, bucket } = histogram.histo;
  assertEquals([min, max, num, sum, sumSquares], [1, 4, 4, 9, 25]);
  assertEquals(bucketLimit.length, bucket.length);
  assertAlmostEquals(bucketLimit.at(-1), 4);
  const upTo = (limit: number) =>
    bucket.reduce(
      (n: number, count: number, i: number) => n + (bucketLimit[i] <= limit ? count : 0),
      0,
    );
  assertEquals([upTo(1.2), upTo(3), upTo(4)], [1, 3, 4]);
});

Deno.test("a histogram of equal numbers has one bucket, one of none is empty", () => {
  const [event] = records(summaryEvent({
    wallTime: 0,
    step: 0,
    values: [{ tag: "same", histogram: [3, 3] }, { tag: "none", histogram: [NaN] }],
  })).map(decode);
  const [same, none] = event.summary.value;
  assertEquals([same.histo.bucketLimit, same.histo.bucket], [[3], [2]]);
  assertEquals(none.histo.bucket, []);
});
