--- Tests of lurcher.recipe.options: parsing of command lines, and messages for wrong ones.
local harness = require "harness"
local options = require "lurcher.recipe.options"
local test = harness.test

local spec = {
  name = "train", summary = "Trains.",
  { "data", "path", required = true, value = "DIR", help = "images" },
  { "epochs", "integer", default = 30, min = 1, help = "passes" },
  { "lr", "number", default = 1e-3, min = 0, max = 10, help = "learning rate" },
  { "optimizer", "choice", default = "adam", choices = { "sgd", "adam", "nadam" }, help = "rule" },
  { "feature-layer", "string", help = "where to cut" },
  { "strict", "flag", help = "raise" },
}

local function read(...) return options.read(spec, { ... }) end

local function message_of(...)
  local values, message = read(...)
  assert(values == nil, "an error was expected")
  return message
end

test("options: values, types, defaults", function()
  local o, given = read("--data", "dogs", "--epochs=3", "--feature-layer", "add_12", "--strict")
  assert(o.data == "dogs" and o.epochs == 3 and math.type(o.epochs) == "integer")
  assert(o.lr == 1e-3 and o.optimizer == "adam" and o.feature_layer == "add_12" and o.strict == true)
  assert(given.epochs == 3 and given.lr == nil)
end)

test("options: flags are off by default and can be switched off", function()
  assert(read("--data", "d").strict == false)
  assert(read("--data", "d", "--strict", "--no-strict").strict == false)
end)

test("options: an old name of an option is accepted, but not shown", function()
  local renamed = { name = "x", summary = "", { "images", "integer", was = "pictures", help = "number of images" },
    { "quick", "flag", was = "fast", default = true, help = "be quick" } }
  local o, given = options.read(renamed, { "--pictures", "3", "--no-fast" })
  assert(o.images == 3 and o.quick == false and given.images == 3 and o.pictures == nil)
  assert(options.read(renamed, { "--images=4", "--fast" }).images == 4)
  local text = options.help(renamed)
  assert(text:find("--images N", 1, true) and text:find("--[no-]quick", 1, true) and not text:find "pictures")
  assert(select(2, options.read(renamed, { "--picture", "3" })) == "unknown option '--picture'")
end)

test("options: words that are not options, and --", function()
  local o = read("a.jpg", "--data", "d", "b.jpg", "--", "--c.jpg")
  assert(table.concat(o.arguments, " ") == "a.jpg b.jpg --c.jpg")
end)

test("options: a negative number is a value", function()
  assert(message_of("--lr", "-1"):find("number from 0 to 10", 1, true))
end)

test("options: did you mean", function()
  assert(message_of("--epoch", "3") == "unknown option '--epoch' (did you mean '--epochs'?)")
  assert(message_of("--wieghts", "3"):find("unknown option '--wieghts'", 1, true))
  assert(message_of("--ftrict"):find("did you mean '--strict'?", 1, true))
  assert(message_of("--optimizer", "adamm"):find("did you mean 'adam'?", 1, true))
  assert(message_of("--zzzzzzz") == "unknown option '--zzzzzzz'")
  assert(message_of("-e", "3"):find("options are written --name", 1, true))
end)

test("options: errors of type and range name the option, what was expected and what was given", function()
  assert(message_of("--epochs", "2.5") == "bad value '2.5' for --epochs (an integer of at least 1 expected)")
  assert(message_of("--epochs", "0") == "bad value '0' for --epochs (an integer of at least 1 expected)")
  assert(message_of("--lr", "fast") == "bad value 'fast' for --lr (a number from 0 to 10 expected)")
  assert(message_of("--lr", "nan"):find("a number", 1, true))
  assert(message_of("--data") == "option --data needs a value")
  assert(message_of("--data", "--epochs") == "option --data needs a value")
  assert(message_of("--strict=1") == "option --strict takes no value")
end)

test("options: a file that cannot be written is an error at once", function()
  local outputs = { name = "x", summary = "", { "out", "file", help = "page" } }
  local function out(path) return options.read(outputs, { "--out", path }) end
  for _, path in ipairs{ "a.txt", "./a.txt", "/a.txt", "/tmp/a.txt" } do assert(out(path).out == path, path) end
  for _, path in ipairs{ "/no/such/folder/a.txt", "/tmp", "/tmp/", "" } do
    local values, message = out(path)
    assert(not values and message == ("bad value '%s' for --out (a file in a folder that exists expected)"):format(
      path), message)
  end
end)

test("options: a device that cannot be opened is an error at once", function()
  local devices = { name = "x", summary = "", { "device", "device", default = "auto" } }
  assert(options.read(devices, { "--device", "ref" }).device == "ref")
  assert(options.read(devices, {}).device == "auto")
  local values, message = options.read(devices, { "--device", "gpu" })
  assert(not values and message == "--device gpu: unknown device 'gpu' (auto, cpu, ref, cuda or cuda:N expected)",
    message)
  assert(options.help(devices):find("--device DEVICE  device that computes", 1, true))
end)

test("options: in joined lists, the last option of a name counts, at the place of the first", function()
  local joined = options.join({ name = "x", { "a", "flag" } }, { { "b", "integer" }, { "c", "flag" } },
    { { "b", "integer", default = 40 } })
  assert(#joined == 3 and joined[2][1] == "b" and joined[2].default == 40 and joined[3][1] == "c")
end)

test("options: required options and surplus arguments", function()
  local ok, message = options.complete(spec, read("--epochs", "2"))
  assert(not ok and message:find("--data is missing", 1, true))
  ok, message = options.complete(spec, read("--data", "d", "extra"))
  assert(not ok and message == "unexpected argument 'extra'")
  ok, message = options.complete(spec, read "extra")
  assert(not ok and message == "unexpected argument 'extra'", "the likelier mistake")
  assert(options.complete(spec, read("--data", "d")))
end)

test("options: help lists every option with its default", function()
  assert(read("--help") == "help" and read("-h") == "help")
  local text = options.help(spec)
  for _, option in ipairs(spec) do assert(text:find("--" .. option[1], 1, true), option[1]) end
  assert(text:find("default 0.001", 1, true) and text:find("sgd|adam|nadam", 1, true))
  assert(text:find("(required)", 1, true))
end)

test("options: help is broken into lines that a terminal shows, aligned", function()
  local long = ("word "):rep(60)
  local spec_of_long = { name = "x", summary = ("summary "):rep(30), notes = ("note "):rep(40),
    { "size", "integer", default = 3, help = long }, { "a-name-that-takes-more-than-its-column", "flag", help = long },
    { "choice", "choice", choices = { "a-long-choice", "another-long-choice", "a-third-one-that-is-long", "fourth" },
      help = "short" } }
  for columns, margin in pairs{ [60] = 26, [80] = 34, [100] = 34 } do
    local text = options.help(spec_of_long, columns)
    local words, longest = 0, 0
    for line in text:gmatch "[^\n]+" do
      assert(#line <= columns, line)
      longest = math.max(longest, #line)
      local before, count = line:match "^(%s*)", select(2, line:gsub("word", ""))
      if count > 0 and not line:find "%-%-" then assert(#before == margin, line) end
      words = words + count
    end
    assert(words == 120 and longest > columns - 8, longest)
    assert(text:find "%(default 3%)" and text:find("another-long-choice|", 1, true), text)
  end
  assert(options.help(spec_of_long, 20) == options.help(spec_of_long, 60))
  assert(options.help(spec_of_long, 300) == options.help(spec_of_long, 100))
end)
