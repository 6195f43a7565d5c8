/* json.h - cJSON's parser and printer in the C locale: numbers have a decimal point whatever locale the program has
 * chosen. cJSON itself reads the first byte of the locale's decimal point, which some locales need two bytes for. */
#ifndef LUR_JSON_H
#define LUR_JSON_H

#include <cjson/cJSON.h>
#include <stddef.h>

/* As cJSON_ParseWithLengthOpts, without the terminator required. end may be NULL. */
cJSON *lur_json_parse(const char *text, size_t length, const char **end);
/* As cJSON_PrintUnformatted. */
char *lur_json_print(const cJSON *item);

#endif
