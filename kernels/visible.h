/* visible.h - text from files (names of files, classes, tensors; messages of libraries) made safe to print.
 *
 * A terminal obeys control characters in what it prints: such a name may hide lines, set the window's title or answer
 * for the user. Here they become text. */
#ifndef LUR_VISIBLE_H
#define LUR_VISIBLE_H

#include "base.h"

LUR_API_BEGIN

/* Writes text with control characters (C0, DEL, C1), and bytes that are not UTF-8, as \x1b, and with marks that change
   the direction of text or end a line (U+202A to U+202E, U+2066 to U+2069, U+200E, U+200F, U+061C, U+2028, U+2029) as
   \u{202e}. lines: newlines and tabs stay. Everything else stays as it is. As snprintf, it returns the length that the
   whole result has, and writes what fits of it (never a part of a character), with a terminating zero. */
size_t lur_visible(const char *text, size_t length, bool lines, char *out, size_t capacity);

LUR_API_END

#endif
