/* json.c - see json.h. */
#include "json.h"

#include "kernels/number.h"

cJSON *lur_json_parse(const char *text, size_t length, const char **end) {
  void *previous = lur_c_locale_enter();
  cJSON *item = cJSON_ParseWithLengthOpts(text, length, end, false);
  lur_c_locale_leave(previous);
  return item;
}

char *lur_json_print(const cJSON *item) {
  void *previous = lur_c_locale_enter();
  char *text = cJSON_PrintUnformatted(item);
  lur_c_locale_leave(previous);
  return text;
}
