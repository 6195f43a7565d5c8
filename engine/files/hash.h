/* hash.h - a 128-bit hash as hexadecimal text. */
#ifndef LUR_HASH_H
#define LUR_HASH_H

#include <xxhash.h>

#include "engine/lurcher.h"

/* 32 lower-case digits, the most significant first (the canonical form of XXH128), and a NUL. */
void lur_hash_format(XXH128_hash_t hash, char text[LUR_HASH_TEXT]);

#endif
