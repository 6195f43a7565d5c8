/* exif.c - see exif.h. Reads as Pillow's ImageOps.exif_transpose does: an orientation is one whole number, of whatever
 * type; the standard says SHORT, some programs write LONG or BYTE. TIFF 6.0, section 2. */
#include "exif.h"

#include <stdbool.h>

enum { ORIENTATION = 0x0112, ENTRY = 12 };
enum { BYTE = 1, SHORT = 3, LONG = 4, SBYTE = 6, SSHORT = 8, SLONG = 9 };

static unsigned number_16(const uint8_t *p, bool little) {
  return little ? (unsigned)(p[0] | p[1] << 8) : (unsigned)(p[1] | p[0] << 8);
}

static uint32_t number_32(const uint8_t *p, bool little) {
  return little ? number_16(p, true) | (uint32_t)number_16(p + 2, true) << 16
                : (uint32_t)number_16(p, false) << 16 | number_16(p + 2, false);
}

/* The number of a directory entry; 0 where it is not one whole number. Small values are in the entry itself, from its
   first byte on. */
static uint32_t entry_value(const uint8_t *entry, bool little) {
  if (number_32(entry + 4, little) != 1) return 0;
  switch (number_16(entry + 2, little)) {
  case BYTE:
  case SBYTE: return entry[8];
  case SHORT:
  case SSHORT: return number_16(entry + 8, little);
  case LONG:
  case SLONG: return number_32(entry + 8, little);
  default: return 0;
  }
}

int lur_exif_orientation(const uint8_t *tiff, size_t size) {
  if (size < 8) return 1;
  bool little = tiff[0] == 'I' && tiff[1] == 'I';
  if (!little && !(tiff[0] == 'M' && tiff[1] == 'M')) return 1;
  size_t at = number_32(tiff + 4, little);
  if (at > size || size - at < 2) return 1;
  size_t entries = number_16(tiff + at, little);
  if ((size - at - 2) / ENTRY < entries) entries = (size - at - 2) / ENTRY;
  for (size_t i = 0; i < entries; i++) {
    const uint8_t *entry = tiff + at + 2 + ENTRY * i;
    if (number_16(entry, little) != ORIENTATION) continue;
    uint32_t value = entry_value(entry, little);
    return value >= 1 && value <= 8 ? (int)value : 1;
  }
  return 1;
}
