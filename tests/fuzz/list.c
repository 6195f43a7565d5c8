/* list.c - fuzzes the reader of list and CSV files, without and with a header.
 * sources: engine
 * libraries: -lcjson -lxxhash -lhdf5_serial -lz -ljpeg -lpng -ldl */
#include <string.h>

#include "engine/lurcher.h"
#include "support/input.h"

static void see(const lur_dataset *dataset) {
  int classes = lur_dataset_class_count(dataset);
  int64_t sum = 0;
  if (lur_dataset_size(dataset) < 1) abort();
  for (int64_t i = 0; i < lur_dataset_size(dataset); i++) {
    if (lur_dataset_path(dataset, i)[0] == '\0' || lur_dataset_name(dataset, i)[0] == '\0') abort();
    if (lur_dataset_class(dataset, i) >= classes || (classes > 0 && lur_dataset_class(dataset, i) < 0)) abort();
  }
  for (int c = 0; c < classes; c++) {
    if (lur_dataset_class_name(dataset, c) == NULL || lur_dataset_class_size(dataset, c) < 1) abort();
    if (c > 0 && strcmp(lur_dataset_class_name(dataset, c - 1), lur_dataset_class_name(dataset, c)) >= 0) abort();
    sum += lur_dataset_class_size(dataset, c);
  }
  if (classes > 0 && sum != lur_dataset_size(dataset)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const lur_list_options options[] = {
      {.root = "/nowhere"}, {.root = "", .header = true, .path_column = "image", .class_column = "breed"}};
  const char *path = input_file(data, size);
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    lur_dataset *dataset = NULL;
    if (lur_dataset_list(path, &options[i], NULL, &dataset) == LUR_OK) see(dataset);
    else check_message();
    lur_dataset_release(dataset);
  }
  return 0;
}
