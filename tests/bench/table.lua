--- table.lua - Lurcher beside its peers: prints the table of tests/bench/README.md as Markdown.
-- Every engine of a row is a process of its own. They take turns within one run, so that other load on the machine
-- affects all of them. A figure is a ratio with its spread, never a time alone. All engines load one weights file and
-- compute the same batch, and their first results are compared with Lurcher's: "differs by" is the largest difference
-- over the largest value (of the probabilities, or of the losses of the first two steps).
--
-- Usage: lurcher tests/bench/table.lua [OPTION ...] [ROW ...]
--   --peers DIR   Python environment made by peers/install.sh (default: Debian's python3 and its packages)
--   --out DIR     folder for weights, batch, log and figures (default: build/bench). A row whose figures are there is
--                 printed without being measured again
--   --data DIR    folder with train/CLASS and valid/CLASS (default: data/dogs24 in the folder LURCHER_SHARED). Without
--                 it, rows that read images are left out
--   --rounds N    turns per engine (default: 5)
--   --size N      side of the images (default: 299); less is for testing this script
--   --fresh       measure again rows that have figures
--   ROW           WORK:BATCH (default: the list `all` below)
-- WORK is inference; int8 (the same in int8, beside Lurcher's f32); train (all layers are trainable), tune
-- (layers[105:] are) or head (only the softmax is); or one that reads images: loader; frozen (an epoch of four steps of
-- froze_fine_tune's first stage, augmented, BATCH in pairs); trick (four steps of trick_tune after the first epoch).
-- inference:8 also measures the share of the processor's multiply-add peak, if bench_peak is beside the program
-- (ninja bench_peak).
-- LURCHER_THREADS: compute threads of each engine (default: 2). For a GPU and one peer, use xception.lua.
-- To add an engine, add a line to `engines` and a file peers/NAME_peer.py.
local lfs = require "lfs"
local lurcher = require "lurcher"

local here = arg[0]:match "^(.*)/[^/]*$" or "."
local program = arg[-1] or "lurcher"
local threads = os.getenv "LURCHER_THREADS" or "2"
local all = { "inference:1", "inference:8", "inference:32", "int8:8", "int8:32", "train:8", "train:16", "tune:8",
  "head:8", "loader:32", "frozen:8", "trick:8" }
-- Steps per turn; 1 for the others.
local STEPS = { ["inference:1"] = 6, ["inference:8"] = 2, ["int8:8"] = 2, ["tune:8"] = 2, ["head:8"] = 2 }
local IMAGES = { loader = true, frozen = true, trick = true }
local WARM = { loader = 1, frozen = 1, trick = 1 } -- steps before the first turn; 2 for the others

local training = { train = true, tune = true, head = true }
local engines = {
  { name = "torch", file = "torch_peer.py", module = "torch",
    works = { inference = true, train = true, tune = true, head = true, loader = true, frozen = true, trick = true } },
  { name = "torch compiled", file = "torch_peer.py", module = "torch", works = { inference = true },
    environment = "LURCHER_BENCH_COMPILE=1" },
  { name = "Keras", file = "keras_peer.py", module = "tensorflow keras",
    works = { inference = true, train = true, tune = true, head = true } },
  { name = "ONNX Runtime", file = "onnxruntime_peer.py", module = "onnxruntime", onnx = true,
    works = { inference = true } },
  { name = "OpenVINO", file = "openvino_peer.py", module = "openvino", onnx = true, works = { inference = true } },
}

-- ---- command line ----

local function options_of(words)
  local o, rows, i = { out = "build/bench", rounds = 5, size = 299 }, {}, 1
  while i <= #words do
    local name = words[i]:match "^%-%-(%a+)$"
    if name == "fresh" then
      o.fresh = true
    elseif name then
      i = i + 1
      if not words[i] then error("table: --" .. name .. " needs a value", 0) end
      o[name] = words[i]
    elseif words[i]:match "^%w+:%d+$" then
      rows[#rows + 1] = words[i]
    else
      error(("table: WORK:BATCH expected, got '%s'"):format(words[i]), 0)
    end
    i = i + 1
  end
  o.python = o.peers and o.peers .. "/bin/python" or "/usr/bin/python3"
  local shared = os.getenv "LURCHER_SHARED"
  o.data = o.data or shared and shared .. "/data/dogs24" -- nil: no images
  return o, #rows > 0 and rows or all
end

local o, rows = options_of(arg)
o.rounds, o.size = math.tointeger(o.rounds), math.tointeger(o.size)

-- ---- small things ----

local function quoted(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

local function say(form, ...) io.stderr:write(form:format(...), "\n") end

local function exists(path) return lfs.attributes(path, "mode") ~= nil end

local function median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local n = #sorted
  return (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2, sorted[1], sorted[n]
end

-- ---- weights, batch and images, the same for all engines ----

--- Writes weights whose batch norms hold the statistics of the batch, so that no layer's output vanishes or explodes.
local function write_weights(path, images)
  lurcher.seed(7)
  local model = require "lurcher.models.xception"{ momentum = 0, size = o.size }
  local run <close> = model:compile{ device = "cpu", loss = "categorical_crossentropy",
    optimizer = lurcher.optim.sgd{ lr = 0 } }
  local count = 4
  run:train{ input_1 = images:rows(1, count), predictions = lurcher.range(count) }
  assert(model:save(path))
end

local function copy_file(from, to)
  local input <close> = assert(io.open(from, "rb"))
  local output <close> = assert(io.open(to, "wb"))
  assert(output:write(input:read "a"))
end

--- The names in a folder that do not begin with a dot, sorted.
local function names_in(folder)
  local names = {}
  for name in lfs.dir(folder) do
    if name:sub(1, 1) ~= "." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- Copies a few images of each class: the trick stage computes the frozen features of all before its first turn.
local function write_images(from, to)
  for part, count in pairs{ train = 4, valid = 1 } do
    for _, class in ipairs(names_in(from .. "/" .. part)) do
      local source, target = ("%s/%s/%s"):format(from, part, class), ("%s/%s/%s"):format(to, part, class)
      os.execute("mkdir -p " .. quoted(target))
      local files = names_in(source)
      for i = 1, math.min(count, #files) do copy_file(source .. "/" .. files[i], target .. "/" .. files[i]) end
    end
  end
end

local function prepare()
  os.execute("mkdir -p " .. quoted(o.out))
  if not exists(o.out .. "/xception.h5") then
    lurcher.seed(11)
    local images = lurcher.uniform{ 32, o.size, o.size, 3, low = -1, high = 1 }
    assert(lurcher.save_tensors(o.out .. "/images.safetensors", { images = images }))
    write_weights(o.out .. "/xception.h5", images)
  end
  local imgs = o.out .. "/images"
  if not exists(imgs) and o.data and exists(o.data .. "/train") then write_images(o.data, imgs) end
end

-- ---- processes ----

local process = {}
process.__index = process

--- Starts a process that answers lines of its standard input; see table_worker.lua.
local function start(name, command)
  local pipe = ("%s/%s.pipe"):format(o.out, name:gsub("%W", "_"))
  os.execute(("rm -f %s; mkfifo %s"):format(quoted(pipe), quoted(pipe)))
  local self = setmetatable({ name = name }, process)
  self.from = assert(io.popen(("OMP_NUM_THREADS=%s LURCHER_THREADS=%s %s < %s 2>> %s"):format(threads, threads,
    command, quoted(pipe), quoted(o.out .. "/log")), "r"))
  self.to = assert(io.open(pipe, "w"))
  self.to:setvbuf "line"
  os.remove(pipe)
  return self
end

--- The rest of the next line that begins with `word`; nil if the process has ended.
function process:answer(word)
  for line in self.from:lines() do
    local rest = line:match("^" .. word .. "%s*(.*)$")
    if rest then return rest end
  end
end

--- Seconds of each of `count` steps; nil if the process has ended.
function process:step(count)
  self.to:write(("step %d\n"):format(count))
  local text, seconds = self:answer "seconds", {}
  if not text then return nil end
  for word in text:gmatch "%S+" do seconds[#seconds + 1] = tonumber(word) end
  return seconds
end

function process:output(path)
  self.to:write("output " .. path .. "\n")
  return self:answer "saved" and assert(lurcher.load_tensors(path)).y
end

--- Ends the process; returns its peak memory in bytes.
function process:finish()
  self.to:write "finish\n"
  local peak = self:answer "peak"
  self.to:close()
  self.from:close()
  return tonumber(peak)
end

function process:abandon()
  self.to:close()
  self.from:close()
end

-- ---- one row ----

local function python(engine, work, batch)
  return ("%s TORCHINDUCTOR_CACHE_DIR=%s %s %s/peers/%s %s %d %s %s %s"):format(engine.environment or "",
    quoted(o.out .. "/inductor"), quoted(o.python), quoted(here), engine.file, work, batch, quoted(o.out), threads,
    quoted(o.out .. "/images"))
end

local function has(engine)
  if engine.there == nil then
    local check = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))"
    engine.there = os.execute(("%s -c %s %s h5py safetensors 2>> %s"):format(quoted(o.python), quoted(check),
      engine.module, quoted(o.out .. "/log"))) and true or false
    if engine.there and engine.onnx and not exists(o.out .. "/xception.onnx") then
      engine.there = os.execute(("%s >> %s 2>&1"):format(python({ file = "onnx_model.py" }, "inference", 1),
        quoted(o.out .. "/log"))) and true or false
    end
    if not engine.there then say("  left out: %s cannot be imported (see %s/log)", engine.name, o.out) end
  end
  return engine.there
end

--- The processes of a row, Lurcher first, warmed up and ready.
local function start_all(work, batch)
  local list = {}
  local function add(name, command)
    local one = start(name, command)
    one.version = one:answer "ready"
    if one.version and one:step(WARM[work] or 2) then
      list[#list + 1] = one
    elseif #list == 0 then
      error(("table: %s does not run; see %s/log"):format(name, o.out), 0)
    else
      one:abandon()
      say("  left out: %s does not run %s:%d (see %s/log)", name, work, batch, o.out)
    end
  end
  local function ours(worker)
    return ("%s %s/table_worker.lua %s %d %s %s"):format(quoted(program), quoted(here), worker, batch, quoted(o.out),
      quoted(o.out .. "/images"))
  end
  add("Lurcher", ours(work))
  if work == "int8" then add("Lurcher in f32", ours "inference") end
  for _, engine in ipairs(engines) do
    if engine.works[work] and has(engine) then add(engine.name, python(engine, work, batch)) end
  end
  local peak = program:match "^(.*)/[^/]*$"
  peak = (peak or ".") .. "/bench_peak"
  if work == "inference" and batch == 8 and exists(peak) then add("peak", quoted(peak) .. " " .. threads) end
  return list
end

local function compare(list)
  local ours = list[1]:output(o.out .. "/ours.safetensors")
  local scale = ours:abs():max()
  for i = 2, #list do
    if list[i].name ~= "peak" then
      local theirs = list[i]:output(o.out .. "/theirs.safetensors")
      list[i].differs = theirs and (theirs:view(table.unpack(ours.shape)) - ours):abs():max() / scale
    end
  end
end

--- FLOPs of the network's inference, per image.
local function network_flops()
  local flops = 0
  local run <close> = require "lurcher.models.xception"{ size = o.size }:compile{ device = "cpu" }
  run:profile(true)
  run:predict{ input_1 = lurcher.zeros(1, o.size, o.size, 3) }
  for _, step in ipairs(run:profile()) do flops = flops + step.flops end
  return flops
end

local function measure(row)
  local work, batch = row:match "^(%w+):(%d+)$"
  batch = math.tointeger(batch)
  if IMAGES[work] and not exists(o.out .. "/images") then
    say("%s: left out: it needs images, and neither --data nor LURCHER_SHARED names any", row)
    return nil
  end
  say("%s", row)
  local started, list = lurcher.time(), start_all(work, batch)
  if training[work] or work == "inference" or work == "int8" then compare(list) end
  for _, one in ipairs(list) do one.turns = {} end
  for round = 1, o.rounds do
    for k = 0, #list - 1 do
      local one = list[(round + k) % #list + 1]
      one.turns[round] = median(assert(one:step(STEPS[row] or 1), one.name .. " has ended"))
    end
  end
  local record = { row = row, rounds = o.rounds, engines = lurcher.json.array{} }
  for i, one in ipairs(list) do
    record.engines[i] = { name = one.name, version = one.version, turns = one.turns, differs = one.differs,
      peak = one:finish() }
    say("  %-14s %8.3f s per step, %6.0f MB%s", one.name, (median(one.turns)), record.engines[i].peak / 1e6,
      one.differs and (", differs by %.1e"):format(one.differs) or "")
  end
  if work == "inference" and batch == 8 then record.flops = network_flops() * batch end
  record.seconds = lurcher.time() - started
  return record
end

-- ---- recorded figures ----

local function figures_of(row) return ("%s/%s.json"):format(o.out, (row:gsub(":", "_"))) end

local function recorded(row)
  local file = not o.fresh and io.open(figures_of(row), "r")
  if not file then return nil end
  local record = lurcher.json.decode(file:read "a")
  file:close()
  return record
end

-- ---- Markdown ----

local TITLES = { inference = "inference, batch %d", int8 = "inference in int8, batch %d",
  train = "training step, batch %d",
  tune = "training step, `layers[105:]`, batch %d", head = "training step, softmax on a frozen backbone, batch %d",
  loader = "images read and augmented, batch %d", frozen = "frozen stage, %d pairs per step, augmented",
  trick = "trick stage after epoch 1, %d pairs per step" }
--- A step of `frozen` and `trick` is an epoch of four steps of pairs: eight images per pair of the batch.
local UNITS = { frozen = 8, trick = 8 }

--- The ratios of one peer's turns to Lurcher's: median, least, most.
local function ratios(ours, theirs)
  local list = {}
  for i, seconds in ipairs(ours.turns) do list[i] = theirs.turns[i] / seconds end
  return median(list)
end

local function print_row(record)
  local work, batch = record.row:match "^(%w+):(%d+)$"
  local ours = record.engines[1]
  local images = batch * (UNITS[work] or 1)
  local title, rate = TITLES[work]:format(batch), ("%.1f"):format(images / (median(ours.turns)))
  for i = 2, #record.engines do
    local peer = record.engines[i]
    local ratio, low, high = ratios(ours, peer)
    if peer.name == "peak" then
      local flops = tonumber(peer.version:match "(%d+) flops")
      local share = record.flops / flops * ratio
      print(("| share of the FMA peak, inference, batch %s | | %.0f GFLOP/s | %.0f %% (%.0f to %.0f) | | |"):format(
        batch, flops / median(peer.turns) / 1e9, 100 * share, 100 * share * low / ratio, 100 * share * high / ratio))
    else
      print(("| %s | %s | %s %.1f | %.2fx (%.2f to %.2f) | %.2fx | %s |"):format(title, rate, peer.name,
        images / (median(peer.turns)), ratio, low, high, ours.peak / peer.peak,
        peer.differs and ("%.0e"):format(peer.differs) or ""))
      title, rate = "", ""
    end
  end
  if #record.engines == 1 then print(("| %s | %s | | | | |"):format(title, rate)) end
end

local function machine()
  local name, cores = "unknown processor", 0
  for line in io.lines "/proc/cpuinfo" do
    name = line:match "^model name%s*:%s*(.*)$" or name
    if line:match "^processor" then cores = cores + 1 end
  end
  return ("%s, %d cores, %s threads each"):format(name, cores, threads)
end

local function print_table(records)
  local versions, rounds, seconds = {}, math.huge, 0
  for _, record in ipairs(records) do
    rounds, seconds = math.min(rounds, record.rounds), seconds + record.seconds
    for _, engine in ipairs(record.engines) do
      if engine.name ~= "peak" then versions[engine.version] = true end
    end
  end
  local names = {}
  for name in pairs(versions) do names[#names + 1] = name end
  table.sort(names)
  print(("%s; %d x %d, f32; %s. Engines took turns, medians of %d turns; speed: the peer's time over Lurcher's,\n"
    .. "with its least and most; memory: Lurcher's peak over the peer's. %.0f seconds in all.\n"):format(machine(),
    o.size, o.size, table.concat(names, "; "), rounds, seconds))
  print "| what | images/s | peer | speed | memory | differs by |\n|---|---|---|---|---|---|"
  for _, record in ipairs(records) do print_row(record) end
end

prepare()
local records = {}
for _, row in ipairs(rows) do
  local record = recorded(row)
  if not record then
    record = measure(row)
    if record then assert(lurcher.write_file(figures_of(row), lurcher.json.encode(record, true) .. "\n")) end
  end
  records[#records + 1] = record
end
if #records > 0 then print_table(records) end
