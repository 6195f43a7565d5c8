/* json.h - JSON from files that nobody vouches for: a strict check of a text, and a cursor over a checked one.
 *
 * cJSON, which builds trees, is lenient: it accepts keys twice, bytes that are no UTF-8 and numbers like 01, cuts names
 * at \u0000, and returns NULL both for a text that is not JSON and for lack of memory. So a text is checked here first.
 */
#ifndef LUR_JSON_H
#define LUR_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "engine/lurcher.h" /* lur_json_check */

/* cJSON_ParseWithLengthOpts, without the terminator required, and cJSON_PrintUnformatted, in the C locale: numbers have
   a decimal point whatever locale the program has chosen. end may be NULL. */
cJSON *lur_json_tree(const char *text, size_t length, const char **end);
char *lur_json_print(const cJSON *item);

/* Whether the bytes are UTF-8 (RFC 3629) without NUL. */
bool lur_text_is_utf8(const char *text, size_t length);

/* Checks a whole text and builds its tree. LUR_EFORMAT or LUR_ENOMEM, each with a message that does not name the text.
 */
lur_status lur_json_parse(const char *text, cJSON **tree);

/* ---- a cursor over a text that lur_json_check has accepted; NUL-terminated ---- */

/* The first character of the next value: { [ " t f n - or a digit. */
char lur_json_kind(const char **at);
/* Steps into the object or array at the cursor. */
void lur_json_enter(const char **at);
/* After lur_json_enter or a value: true before the next member, or false, having stepped out. */
bool lur_json_more(const char **at);
/* Decodes the string at the cursor to *to, with a final NUL, moves *to behind that, and returns where it began. Strings
   never grow: together they need no more room than the text. After a key the cursor is at its value. */
const char *lur_json_string(const char **at, char **to);
/* Reads a whole number of digits only, at most `most`; false: it is something else, and the cursor stays. */
bool lur_json_whole(const char **at, uint64_t most, uint64_t *value);
void lur_json_skip(const char **at); /* the value at the cursor */

#endif
