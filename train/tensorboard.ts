/**
 * TensorBoard event files: scalars, histograms and texts, with nothing but this file and a writer of bytes.
 *
 * An event file is a sequence of TFRecords, each with an `Event` message of tensorflow/core/util/event.proto.
 *
 * @module
 */
import { MessageWriter } from "./protobuf.ts";

/** What one event says of one tag. */
export type SummaryValue =
  | { tag: string; scalar: number }
  | { tag: string; histogram: ArrayLike<number> }
  | { tag: string; text: string };

/** The first record of every event file. */
export function fileVersion(wallTime: number): Uint8Array<ArrayBuffer> {
  return tfRecord(new MessageWriter().double(1, wallTime).text(3, "brain.Event:2").finish());
}

/**
 * One event as bytes to append to a file that began with {@linkcode fileVersion}.
 *
 * Values that are not finite are left out of histograms; as scalars they stay, TensorBoard marks them.
 *
 * @param wallTime Seconds since 1970.
 */
export function summaryEvent(
  { wallTime, step, values }: { wallTime: number; step: number; values: readonly SummaryValue[] },
): Uint8Array<ArrayBuffer> {
  const summary = new MessageWriter();
  for (const value of values) summary.message(1, summaryValue(value));
  return tfRecord(
    new MessageWriter().double(1, wallTime).int(2, step).message(5, summary).finish(),
  );
}

function summaryValue(value: SummaryValue): MessageWriter {
  const message = new MessageWriter().text(1, value.tag);
  if ("scalar" in value) return message.float(2, value.scalar);
  if ("histogram" in value) return message.message(5, histogram(value.histogram));
  return textTensor(message, value.text);
}

/** A string tensor of one element, which the text plugin shows (as Markdown). */
function textTensor(message: MessageWriter, text: string): MessageWriter {
  const DT_STRING = 7;
  const shape = new MessageWriter().message(2, new MessageWriter().int(1, 1)); // dim { size: 1 }
  const tensor = new MessageWriter().int(1, DT_STRING).message(2, shape).text(8, text);
  const plugin = new MessageWriter().text(1, "text"); // metadata { plugin_data { plugin_name } }
  return message.message(9, new MessageWriter().message(1, plugin)).message(8, tensor);
}

const BUCKETS = 30;

/** A `HistogramProto` with equal buckets between the smallest and the largest number. */
function histogram(numbers: ArrayLike<number>): MessageWriter {
  const finite = Array.from(numbers).filter(Number.isFinite);
  const message = new MessageWriter();
  if (finite.length === 0) return message;
  let [low, high, sum, squares] = [Infinity, -Infinity, 0, 0];
  for (const x of finite) {
    [low, high] = [Math.min(low, x), Math.max(high, x)];
    sum += x;
    squares += x * x;
  }
  const buckets = low === high ? 1 : BUCKETS;
  const width = (high - low) / buckets;
  const counts: number[] = Array(buckets).fill(0);
  for (const x of finite) {
    counts[width === 0 ? 0 : Math.min(buckets - 1, Math.floor((x - low) / width))]++;
  }
  const limits = counts.map((_, i) => i === buckets - 1 ? high : low + (i + 1) * width);
  return message.double(1, low).double(2, high).double(3, finite.length).double(4, sum)
    .double(5, squares).doubles(6, limits).doubles(7, counts);
}

/**
 * A TFRecord: length (u64), its masked CRC-32C, the data, their masked CRC-32C; all little-endian.
 *
 * Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
 */
function tfRecord(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const record = new Uint8Array(8 + 4 + data.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, masked(crc32c(record.subarray(0, 8))), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, masked(crc32c(data)), true);
  return record;
}

function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** CRC-32C (Castagnoli), RFC 3720 appendix B.4. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
