/* safetensors_order.c - the order of a header's keys, as a text that tells a re-saved file from a damaged one. Other
 * programs keep the metadata, checksum included, and write keys and tensors in an order of their own: the checksum of
 * such a file does not match, though no byte is wrong.
 *
 * The text has 48 hexadecimal digits: a hash of the names in their order, one of the same names in any order, and one
 * of these 32 digits. Names that are the same in another order have been moved; a changed byte of a name changes both
 * hashes, one of the text the third. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "files.h"

enum { CHECKED = 32 }; /* digits before the last hash */

void lur_order_add(lur_order *order, const char *name) {
  uint64_t hash = XXH3_64bits(name, strlen(name));
  order->sequence = XXH3_64bits_withSeed(&hash, sizeof hash, order->sequence);
  order->sum += hash;
}

void lur_order_format(const lur_order *order, char text[LUR_ORDER_TEXT]) {
  snprintf(text, LUR_ORDER_TEXT, "%016" PRIx64 "%016" PRIx64, order->sequence, order->sum);
  snprintf(text + CHECKED, LUR_ORDER_TEXT - CHECKED, "%016" PRIx64, (uint64_t)XXH3_64bits(text, CHECKED));
}

bool lur_order_is_moved(const char *text, const lur_order *order) {
  char check[17], here[LUR_ORDER_TEXT];
  if (text == NULL || strlen(text) != LUR_ORDER_TEXT - 1) return false;
  snprintf(check, sizeof check, "%016" PRIx64, (uint64_t)XXH3_64bits(text, CHECKED));
  lur_order_format(order, here);
  return strcmp(check, text + CHECKED) == 0 && memcmp(text, here, 16) != 0 && memcmp(text + 16, here + 16, 16) == 0;
}
