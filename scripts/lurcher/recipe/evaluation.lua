--- lurcher.recipe.evaluation: predicts a folder of images with one or several trained models, writes the predictions,
-- and scores them where the folder has the model's classes as subfolders. What the test recipes share.

local lurcher = require "lurcher"
local fields, prediction = require "lurcher.fields", require "lurcher.prediction"
local logs_of = require "lurcher.logs"

local evaluation = {}

--- The models of files or run folders, as a list of { path, model, metadata }. Raises where their classes differ.
function evaluation.open(paths)
  local opened = {}
  for i, path in ipairs(paths) do
    local model, metadata = prediction.open_model(path)
    local first = opened[1] and opened[1].metadata.classes or metadata.classes
    if table.concat(first, "\n") ~= table.concat(metadata.classes, "\n") then
      error(("'%s' was trained on other classes than '%s': their predictions cannot be averaged"):format(path,
        opened[1].path), 0)
    end
    opened[i] = { path = path, model = model, metadata = metadata }
  end
  return opened
end

--- Probabilities of the images of a set, the mean over the models, and the images' numbers.
local function average(opened, set, o)
  local sum, rows
  for _, entry in ipairs(opened) do
    local settings, classes = setmetatable({}, { __index = o }), entry.metadata.classes
    if o.exif ~= nil then entry.metadata.exif = o.exif end
    settings.output = prediction.output(entry.model, classes, o.output)
    local scores
    scores, rows = prediction.predict(entry.model, set, entry.metadata, settings)
    sum = sum and sum + scores or scores
  end
  sum = sum / #opened
  return o.normalize and sum / sum:sum(2):view(-1, 1) or sum, rows
end

-- ---- files ----

--- Ways to name the image "afghan/0a00bffa2c.jpg", each telling more images apart than the one before: 0a00bffa2c,
-- afghan/0a00bffa2c, afghan/0a00bffa2c.jpg.
local ways <const> = {
  function(name) return (name:match("[^/]*$"):gsub("(.)%.[^.]*$", "%1")) end,
  function(name) return (name:gsub("([^/])%.[^./]*$", "%1")) end,
  function(name) return name end,
}

--- The names of a set's images in o.out, by number: the last part without extension, as in the original; where several
-- images have that name, their path in the set's folder.
local function unique_names(set)
  local names, level, count = {}, {}, {}
  for i = 1, #set do
    names[i], level[i] = ways[1](set:name(i)), 1
    count[names[i]] = (count[names[i]] or 0) + 1
  end
  local changed
  repeat
    changed = false
    local counted = {}
    for i = 1, #set do
      if count[names[i]] > 1 and level[i] < #ways then
        level[i], changed = level[i] + 1, true
        names[i] = ways[level[i]](set:name(i))
      end
      counted[names[i]] = (counted[names[i]] or 0) + 1
    end
    count = counted
  until not changed
  return names
end

--- Prints which images could not be read.
local function name_unread(rows, set)
  local is_read = {}
  for _, row in ipairs(rows) do is_read[row] = true end
  for i = 1, #rows < #set and #set or 0 do
    if not is_read[i] then print("  cannot be read, left out: " .. lurcher.visible(set:path(i))) end
  end
end

--- Writes a line `class TAB image name` per image, fields as of lurcher.fields, and prints which images could not be
-- read. name_of: function that gives an image's name in the file; by default that of unique_names.
local function write(path, scores, rows, set, classes, name_of)
  local best, lines, names = scores:argmax(2):totable(), {}, not name_of and unique_names(set)
  for i, row in ipairs(rows) do
    local name = names and names[row] or name_of(set:name(row))
    lines[i] = ("%s\t%s\n"):format(fields.escaped(classes[best[i] + 1]), fields.escaped(name))
  end
  assert(lurcher.write_file(path, table.concat(lines)))
  print(("predictions: %s (%d images)"):format(path, #rows))
  name_unread(rows, set)
end

--- A CSV field, quoted where it must be (RFC 4180). Control characters are escaped, as in o.out: a line is an image for
-- readers that know no quoted line feeds, too.
function evaluation.csv_field(text)
  text = fields.escaped(text)
  return text:find '[",]' and '"' .. text:gsub('"', '""') .. '"' or text
end

--- Writes the probabilities as CSV: a row per image, a column per class.
local function write_probabilities(path, scores, rows, set, classes)
  local header = { "picture" } -- the file format keeps this word
  for i, name in ipairs(classes) do header[i + 1] = evaluation.csv_field(name) end
  local lines, values = { table.concat(header, ",") }, scores:totable()
  for i, row in ipairs(rows) do
    local cells = { evaluation.csv_field(set:name(row)) }
    for j, value in ipairs(values[i]) do cells[j + 1] = lurcher.format("%.6g", value) end
    lines[#lines + 1] = table.concat(cells, ",")
  end
  assert(lurcher.write_file(path, table.concat(lines, "\n") .. "\n"))
  print("probabilities: " .. path)
end

-- ---- scores ----

local function percent_right(row, i)
  local sum = 0
  for _, count in ipairs(row) do sum = sum + count end
  return sum > 0 and lurcher.format("%6.1f %%", 100 * row[i] / sum) or "", sum
end

--- The confusion matrix as text: rows are true classes, columns predictions, by number.
local function print_matrix(matrix, names, width)
  local head = {}
  for j = 1, #names do head[j] = ("%4d"):format(j) end
  print "\nconfusion (rows: truth, columns: prediction)"
  print((" "):rep(width + 5) .. table.concat(head) .. "   right")
  for i, row in ipairs(matrix) do
    local cells = {}
    for j, count in ipairs(row) do cells[j] = count == 0 and "   ." or ("%4d"):format(count) end
    local padding = (" "):rep(width - #names[i])
    print(("%3d %s%s %s%s"):format(i, names[i], padding, table.concat(cells), (percent_right(row, i))))
  end
end

--- What remains of it where a terminal is too narrow: images and right ones of each class.
local function print_classes(matrix, names, width)
  print "\nclasses (the confusion matrix is too wide here: see lurcher report)"
  print(("%s  images   right"):format((" "):rep(width)))
  for i, row in ipairs(matrix) do
    local right, sum = percent_right(row, i)
    print(("%s%s  %6d %s"):format(names[i], (" "):rep(width - #names[i]), sum, right))
  end
end

--- Prints the confusion matrix, then the most frequent mistakes by name.
local function print_confusion(counts, classes)
  local matrix, mistakes, width = counts:totable(), {}, 0
  local names = {}
  for i, name in ipairs(classes) do
    names[i] = lurcher.visible(name)
    width = math.max(width, #names[i])
  end
  local fits = width + 5 + 4 * #names + 8 <= (lurcher.columns() or math.huge)
  local show = fits and print_matrix or print_classes
  show(matrix, names, width)
  for i, row in ipairs(matrix) do
    for j, count in ipairs(row) do
      if i ~= j and count > 0 then mistakes[#mistakes + 1] = { count, names[i], names[j] } end
    end
  end
  table.sort(mistakes, function(a, b)
    if a[1] ~= b[1] then return a[1] > b[1] end
    return a[2] .. a[3] < b[2] .. b[3]
  end)
  if #mistakes > 0 then print "\nmost frequent mistakes" end
  for i = 1, math.min(8, #mistakes) do
    print(("%4d  %s taken for %s"):format(table.unpack(mistakes[i])))
  end
end

--- Prints top-1 and top-5 accuracy, log-loss and confusion. Returns { top_1, top_5, log_loss }; top_5 only of more than
-- 5 classes.
local function score(scores, rows, set, classes)
  local ids = { dtype = "i32" }
  for i, row in ipairs(rows) do ids[i] = set:class(row) - 1 end
  ids = lurcher.tensor(ids)
  local results = { top_1 = lurcher.top_k(scores, ids, 1), log_loss = lurcher.log_loss(scores, ids) }
  print(lurcher.format("top-1 %.4f", results.top_1))
  if #classes > 5 then
    results.top_5 = lurcher.top_k(scores, ids, 5)
    print(lurcher.format("top-5 %.4f", results.top_5))
  end
  print(lurcher.format("log-loss %.4f", results.log_loss))
  print_confusion(lurcher.confusion(scores, ids), classes)
  return results
end

--- Predicts the images of o.data with opened models and writes o.out, if any. o: the values of common.test, and output
-- (name; see prediction.output), normalize (true: rows are made to add up to 1, which those of a maximum of two
-- softmaxes do not), name_of (function of an image's name that gives its name in o.out), probabilities (CSV file to write, or nil).
-- Prints scores where images have classes, and returns them.
function evaluation.run(opened, o)
  local classes = opened[1].metadata.classes
  local set, labelled = prediction.open_set(o.data, classes, { hidden = o.era == "2017" })
  local passed_over = logs_of.passed_over(set, o.data)
  if passed_over then print(passed_over) end
  local scores, rows = average(opened, set, o)
  if o.out then write(o.out, scores, rows, set, classes, o.name_of) else name_unread(rows, set) end
  if o.probabilities then write_probabilities(o.probabilities, scores, rows, set, classes) end
  return labelled and score(scores, rows, set, classes) or nil
end

return evaluation
