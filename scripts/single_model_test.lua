--- single_model_test.lua - predicts pictures with a trained classifier, and scores it
-- It writes a line `class TAB picture name` for each picture, and where the folder has the model's classes as
-- subfolders, says how often and how surely it is right.

local lfs = require "lfs"
local lurcher = require "lurcher"
local logs_of, options, ticker = require "lurcher.logs", require "lurcher.options", require "lurcher.ticker"
local nn, data = lurcher.nn, lurcher.data

local spec = {
  name = "single_model_test",
  summary = "Predicts the pictures of a folder; with a folder a class in it, also scores the predictions.",
  { "model", "path", required = true, value = "FILE", help = "model.safetensors of a run, or the run folder" },
  { "data", "path", required = true, value = "DIR", help = "folder of pictures, or of a folder a class" },
  { "out", "path", default = "predict.txt", value = "FILE", help = "where the predictions go" },
  { "batch", "integer", default = 32, min = 1, help = "pictures a step" },
  { "device", "string", default = "auto", help = "where to compute: auto, cpu, ref, cuda:0" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read pictures" },
}

local function open_model(path)
  if lfs.attributes(path, "mode") == "directory" then path = path .. "/model.safetensors" end
  local model, extra = nn.load(path)
  if not model then error(extra, 0) end
  local about = lurcher.json.decode(extra)
  if type(about) ~= "table" or type(about.classes) ~= "table" or type(about.size) ~= "table" then
    error(("'%s' has weights but no classes: expected a model.safetensors that a recipe wrote"):format(path), 0)
  end
  return model, about
end

--- The pictures, with classes where a subfolder has the name of one.
local function open_set(path, classes)
  local is_class = {}
  for _, name in ipairs(classes) do is_class[name] = true end
  if lfs.attributes(path, "mode") == "directory" then
    for name in lfs.dir(path) do
      if is_class[name] then return assert(data.folder{ path, classes = classes }), true end
    end
  end
  return assert(data.flat{ path }), false
end

--- Probabilities of every picture that can be read, as a tensor, and the pictures' numbers in the same order.
local function predict(model, set, about, o)
  local run <close> = model:compile{ device = o.device }
  local loader <close> = data.loader{ set, size = about.size, preprocess = about.preprocess, shuffle = false,
    batch = o.batch, workers = o.workers }
  local scores, rows, expected = {}, {}, 0
  local tick = ticker{ label = "predicting", total = #set }
  local input, output = model.inputs[1], model.outputs[1]
  for batch in loader:epoch(0) do
    local read = batch.index:totable()
    local good = {}
    for i, index in ipairs(read) do
      expected = expected + 1
      if index + 1 == expected then
        good[#good + 1] = i
        rows[#rows + 1] = expected
      end
    end
    local probabilities = run:predict{ [input] = batch.image }[output]
    if #good > 0 then scores[#scores + 1] = #good == #read and probabilities or probabilities:select(good) end
    tick:count(expected)
    if lurcher.interrupted() then error("interrupted", 0) end
  end
  local seconds = lurcher.time() - tick.started
  tick:finish(("predicted %d pictures in %s, %s"):format(expected, logs_of.duration(seconds),
    ticker.rate(expected, seconds)))
  if #rows == 0 then error("no picture could be read", 0) end
  return lurcher.concat(scores), rows
end

--- "afghan/0a00bffa2c.jpg" -> "0a00bffa2c"
local function plain_name(name) return (name:match("[^/]*$"):gsub("%.[^.]*$", "")) end

local function write_predictions(path, scores, rows, set, classes)
  local best, lines = scores:argmax(2):totable(), {}
  for i, row in ipairs(rows) do
    lines[i] = ("%s\t%s\n"):format(classes[best[i] + 1], plain_name(set:name(row)))
  end
  assert(lurcher.write_file(path, table.concat(lines)))
  print(("predictions: %s (%d pictures)"):format(path, #rows))
  if #rows < #set then
    local is_read = {}
    for _, row in ipairs(rows) do is_read[row] = true end
    for i = 1, #set do
      if not is_read[i] then print("  could not be read, left out: " .. set:path(i)) end
    end
  end
end

--- The confusion matrix: rows truth, columns prediction, by number; then the most frequent mistakes by name.
local function print_confusion(counts, classes)
  local matrix, mistakes, width = counts:totable(), {}, 0
  for _, name in ipairs(classes) do width = math.max(width, #name) end
  local head = {}
  for j = 1, #classes do head[j] = ("%4d"):format(j) end
  print "\nconfusion (rows: truth, columns: prediction)"
  print((" "):rep(width + 5) .. table.concat(head) .. "   right")
  for i, row in ipairs(matrix) do
    local cells, sum = {}, 0
    for j, count in ipairs(row) do
      cells[j] = count == 0 and "   ." or ("%4d"):format(count)
      sum = sum + count
      if i ~= j and count > 0 then mistakes[#mistakes + 1] = { count, classes[i], classes[j] } end
    end
    local share = sum > 0 and ("%6.1f %%"):format(100 * row[i] / sum) or ""
    print(("%3d %-" .. width .. "s %s%s"):format(i, classes[i], table.concat(cells), share))
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

local function main(o)
  local model, about = open_model(o.model)
  local set, labelled = open_set(o.data, about.classes)
  local scores, rows = predict(model, set, about, o)
  write_predictions(o.out, scores, rows, set, about.classes)
  if not labelled then return end
  local ids = { dtype = "i32" }
  for i, row in ipairs(rows) do ids[i] = set:class(row) - 1 end
  ids = lurcher.tensor(ids)
  print(("top-1 %.4f"):format(lurcher.top_k(scores, ids, 1)))
  if #about.classes > 5 then print(("top-5 %.4f"):format(lurcher.top_k(scores, ids, 5))) end
  print(("log-loss %.4f"):format(lurcher.log_loss(scores, ids)))
  print_confusion(lurcher.confusion(scores, ids), about.classes)
end

options.main(spec, arg, main)
