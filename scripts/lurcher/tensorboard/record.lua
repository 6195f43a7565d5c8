--- lurcher.tensorboard.record: the framing of TensorBoard's event files (TFRecord): for each record its length (8
-- bytes, little endian), the masked CRC-32C of these 8 bytes, the bytes, and their masked CRC-32C. As in TensorFlow's
-- tensorflow/core/lib/io/record_writer.cc; mask: tensorflow/core/lib/hash/crc32c.h.

local record = {}

--- CRC-32C (Castagnoli, RFC 3720 appendix B.4): the reflected polynomial 0x1EDC6F41.
local remainders = {}
for i = 0, 255 do
  local crc = i
  for _ = 1, 8 do crc = crc & 1 == 1 and (crc >> 1) ~ 0x82F63B78 or crc >> 1 end
  remainders[i] = crc
end

--- The CRC-32C of a string.
function record.crc32c(text)
  local crc, byte, table_of = 0xFFFFFFFF, string.byte, remainders
  for i = 1, #text do crc = table_of[(crc ~ byte(text, i)) & 0xFF] ~ (crc >> 8) end
  return crc ~ 0xFFFFFFFF
end

--- The checksum that files hold: a CRC of data that holds CRCs would be weak, so it is rotated and a constant is added.
function record.masked_crc(text)
  local crc = record.crc32c(text)
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
end

--- A record of a file.
function record.framed(text)
  local length = string.pack("<I8", #text)
  return length .. string.pack("<I4", record.masked_crc(length)) .. text .. string.pack("<I4", record.masked_crc(text))
end

return record
