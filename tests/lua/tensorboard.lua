--- Tests of lurcher.tensorboard and on.tensorboard. The golden bytes are those of TensorBoard's own protocol buffers;
-- tests/interop/tensorboard.py compares all kinds of events with the real package.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local files = require "lurcher.files"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local event, record = require "lurcher.tensorboard.event", require "lurcher.tensorboard.record"
local tensorboard = require "lurcher.tensorboard"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises

local work = harness.folder "tensorboard"

local function hex(text) return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

--- The event files of a folder, in TensorBoard's order.
local function event_files(folder)
  local list = {}
  for name in lfs.dir(folder) do if name:find "tfevents" then list[#list + 1] = folder .. "/" .. name end end
  table.sort(list)
  return list
end

--- The events of a file as a list of { step =, text = their bytes }; checks lengths and both CRCs.
local function events_of(path)
  local text, at, list = assert(files.read(path)), 1, {}
  while at <= #text do
    local head = text:sub(at, at + 7)
    local length, crc = ("<I8"):unpack(head), ("<I4"):unpack(text, at + 8)
    assert(crc == record.masked_crc(head), "CRC of the length")
    local data = text:sub(at + 12, at + 11 + length)
    assert(#data == length and ("<I4"):unpack(text, at + 12 + length) == record.masked_crc(data), "CRC of the data")
    local step = data:byte(10) == 0x10 and data:byte(11) or 0 -- field 2, a varint; tests use steps below 128
    list[#list + 1], at = { step = step, text = data }, at + 16 + length
  end
  return list
end

--- The steps at which the events of a folder have a tag, file after file; a restart drops what it says is not valid.
local function steps_of(folder, tag)
  local steps = {}
  for _, path in ipairs(event_files(folder)) do
    for _, one in ipairs(events_of(path)) do
      if one.text:sub(-4) == "\x3a\x02\x08\x01" then -- session_log, START
        while steps[1] and steps[#steps] >= one.step do table.remove(steps) end
      elseif one.text:find("\x0a" .. string.char(#tag) .. tag, 1, true) then
        steps[#steps + 1] = one.step
      end
    end
  end
  return table.concat(steps, " ")
end

test("record: CRC-32C as in RFC 3720, and framing as TensorFlow's", function()
  assert(record.crc32c "123456789" == 0xE3069283 and record.crc32c "" == 0)
  assert(record.crc32c(("\0"):rep(32)) == 0x8A9136AA and record.crc32c(("\255"):rep(32)) == 0x62A8AB43)
  assert(hex(record.framed(event.new(1.5, 0, event.version)))
    == "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c")
end)

test("event: golden bytes", function()
  assert(hex(event.new(2.5, 300, event.scalar("loss", 0.75)))
    == "09000000000000044010ac022a0d0a0b0a046c6f7373150000403f")
  assert(hex(event.scalar("a", -1e300)):sub(-8) == "000080ff" and hex(event.scalar("a", 0 / 0)):find "c0[7f]f$")
  assert(hex(event.new(0, 5, event.session_start)) == "09000000000000000010053a020801")
  assert(hex(event.image("i", 2, 300, 3, "png")) == "2a130a110a0169220c080210ac0218032203706e67")
  assert(hex(event.text("t", "x")) == "2a1c0a1a0a0174420b08071204120208014201784a080a060a0474657874")
  assert(hex(event.histogram("h", { min = -1, max = 2, count = 3, sum = 1.5, sum_squares = 5.25, limits = { 0.5, 2 },
    counts = { 2, 1 } })) == "2a580a560a01682a5109000000000000f0bf11000000000000004019000000000000084021000000000000f83f"
    .. "2900000000000015403210000000000000e03f00000000000000403a100000000000000040000000000000f03f")
end)

test("histogram: 30 equal buckets that hold every value; one where all are equal; none where one is not finite", function()
  lurcher.seed(1)
  local x = lurcher.normal{ 50, 20 }
  local h = tensorboard.histogram(x)
  local sum, sum_squares, want = 0, 0, {}
  for i = 1, 30 do want[i] = 0 end
  for _, row in ipairs(x:totable()) do
    for _, value in ipairs(row) do
      sum, sum_squares = sum + value, sum_squares + value * value
      for i, limit in ipairs(h.limits) do
        if value <= limit then want[i] = want[i] + 1 break end
      end
    end
  end
  near({ h.min, h.max, h.count, h.sum, h.sum_squares }, { x:min(), x:max(), 1000, sum, sum_squares }, 1e-3)
  near(h.counts, want, 1) -- a limit is rounded to f32
  near(h.limits[1] - h.min, (h.max - h.min) / 30, 1e-9)
  local flat = tensorboard.histogram(lurcher.full({ 3, 2 }, 0.5))
  near(flat.counts, { 6 })
  assert(not tensorboard.histogram(lurcher.tensor{ 1, 0 / 0 }) and not tensorboard.histogram(lurcher.tensor{ 1 / 0 }))
  assert(tensorboard.histogram(lurcher.tensor{ 1, 2, dtype = "i32" }).count == 2)
end)

test("writer: a new file each time, flushed, closed; wrong arguments", function()
  local folder = work .. "/writer/deep"
  local first <close> = tensorboard.writer(folder)
  local second <close> = tensorboard.writer{ folder, from_step = 3 }
  assert(first.path ~= second.path and first.path < second.path and #event_files(folder) == 2)
  first:scalar("a", 1, 0):flush()
  assert(#events_of(first.path) == 2 and events_of(second.path)[2].step == 3)
  first:close()
  first:close()
  raises("the writer is closed", first.scalar, first, "a", 1, 1)
  raises("an integer of at least 0 expected as step, got %-1", second.scalar, second, "a", 1, -1)
  raises("an integer of at least 0 expected as step, got 0.5", second.scalar, second, "a", 1, 0.5)
  raises("a number expected for 'a', got string", second.scalar, second, "a", "1", 1)
  raises("a tag %(text%) expected", second.scalar, second, 3, 1, 1)
  raises("an image of h x w x 3 or h x w x 1 expected for 'a', got 2 x 3", second.image, second, "a",
    lurcher.zeros(2, 3), 1)
  raises("hyperparameter 'a': a number, boolean or string expected, got table", second.hparams, second, { a = {} })
  assert(lurcher.write_file(work .. "/file", ""))
  raises("cannot make the folder", tensorboard.writer, work .. "/file/x")
  raises("a folder expected", tensorboard.writer, {})
end)

-- ---- the callback ----

local function batches(count)
  lurcher.seed(4)
  local list = {}
  for i = 1, count do
    list[i] = { image = lurcher.uniform{ 4, 6, 6, 3, low = -1, high = 1 }, y = lurcher.zeros{ 4, dtype = "i32" } }
  end
  return list
end

local function trained(folder, options, more)
  lurcher.seed(3)
  local head = nn.dense{ 2, activation = "softmax", name = "head" }
  local model = nn.model{ y = head(nn.flatten{ name = "flat" }(nn.input("image", 6, 6, 3))) }
  local run <close> = model:compile{ device = "cpu", optimizer = optim.sgd{ lr = 0.1 },
    loss = "categorical_crossentropy" }
  options[1] = folder
  more[1], more[2], more.progress = on.checkpoint{ work .. "/{epoch:02d}.safetensors" }, on.tensorboard(options), false
  more.valid = batches(1)
  return fit(run, batches(3), more)
end

test("on.tensorboard: logs of every epoch, batches, images, histograms, hyperparameters", function()
  local folder = work .. "/logs"
  trained(folder, { steps = 2, images = 2, gradients = true, every = 2, hparams = { lr = 0.1, name = "x" } },
    { epochs = 4 })
  for tag, want in pairs{ epoch_loss = "1 2 3 4", epoch_acc = "1 2 3 4", epoch_learning_rate = "1 2 3 4",
    ["image/2"] = "2 4", ["head/kernel"] = "2 4", ["gradients/head/bias"] = "2 4", ["image/3"] = "", epoch_seconds = "",
    epoch_epoch = "" } do
    assert(steps_of(folder .. "/train", tag) == want, tag .. ": " .. steps_of(folder .. "/train", tag))
  end
  assert(steps_of(folder .. "/validation", "epoch_loss") == "1 2 3 4")
  assert(steps_of(folder .. "/validation", "epoch_learning_rate") == "")
  assert(steps_of(folder .. "/steps", "batch_loss") == "2 5 8 11")
  local root = event_files(folder)
  assert(#root == 1 and #events_of(root[1]) == 4)
end)

test("on.tensorboard: a resumed training continues the steps; a killed epoch is there once", function()
  local folder = work .. "/resumed"
  trained(folder, { steps = 1 }, { epochs = 3 })
  trained(folder, { steps = 1 }, { epochs = 4, resume = work .. "/02.safetensors" })
  assert(steps_of(folder .. "/train", "epoch_loss") == "1 2 3 4", steps_of(folder .. "/train", "epoch_loss"))
  assert(steps_of(folder .. "/validation", "epoch_loss") == "1 2 3 4")
  assert(steps_of(folder .. "/steps", "batch_loss") == "1 2 3 4 5 6 7 8 9 10 11 12", steps_of(folder .. "/steps",
    "batch_loss"))
  assert(#event_files(folder .. "/train") == 2 and #event_files(folder) == 0)
end)

test("on.tensorboard: wrong options are named; a folder that cannot be made ends training at the start", function()
  raises("unknown option 'stepps' to 'on.tensorboard' %(did you mean 'steps'", on.tensorboard, { "x", stepps = 1 })
  raises("bad option 'every' to 'on.tensorboard' %(integer of at least 1 expected, got 0%)", on.tensorboard,
    { "x", every = 0 })
  raises("a folder expected as first option", on.tensorboard, {})
  raises("cannot make the folder", trained, work .. "/file/x", {}, { epochs = 1 })
end)

test("recipes: --tensorboard", function()
  local succeeds, complains = harness.commands(work)
  succeeds("%s/examples/draw_images.lua --train 4 --valid 2 --test 1 --size 48 --out images", harness.root)
  local small = "--size 48 --width 0.125 --middle 1 --batch 8 --no-report"
  succeeds("single_model --data images %s --epochs 2 --out one --tensorboard board/one", small)
  assert(steps_of(work .. "/board/one/train", "epoch_loss") == "1 2")
  assert(steps_of(work .. "/board/one/validation", "epoch_acc") == "1 2")
  assert(steps_of(work .. "/board/one/train", "image/4") == "1 2" and #event_files(work .. "/board/one") == 1)
  succeeds "single_model --resume one --epochs 3"
  assert(steps_of(work .. "/board/one/train", "epoch_loss") == "1 2 3")
  complains(2, { "--tensorboard 'file/x' cannot be made" }, "single_model --data images --out two --tensorboard file/x")
end)
