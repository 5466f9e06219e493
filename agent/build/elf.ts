/** Where the image of an ELF file ends; `deno compile` appends its payload behind that. */

/**
 * Length in bytes of a 64-bit little-endian ELF image: the largest end of a segment, a section or the section table.
 * Throws a RangeError when `data` is no such file.
 */
export function elfImageBytes(data: Uint8Array): number {
  const magic = [0x7f, 0x45, 0x4c, 0x46, 2, 1];
  if (data.length < 64 || magic.some((byte, at) => data[at] !== byte)) {
    throw new RangeError("not a 64-bit little-endian ELF file");
  }
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const u64 = (at: number) => Number(view.getBigUint64(at, true));
  const u32 = (at: number) => view.getUint32(at, true);
  const u16 = (at: number) => view.getUint16(at, true);
  const segments = { at: u64(32), bytes: u16(54), count: u16(56) };
  const sections = { at: u64(40), bytes: u16(58), count: u16(60) };
  const ends = [sections.at + sections.bytes * sections.count];
  for (let i = 0; i < segments.count; i++) {
    const at = segments.at + i * segments.bytes;
    ends.push(u64(at + 8) + u64(at + 32));
  }
  const withoutBytes = 8; // SHT_NOBITS takes no room in the file
  for (let i = 0; i < sections.count; i++) {
    const at = sections.at + i * sections.bytes;
    if (u32(at + 4) !== withoutBytes) ends.push(u64(at + 24) + u64(at + 32));
  }
  return Math.max(...ends);
}
