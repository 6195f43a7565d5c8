--- Tests of error messages: one line, with the caller's line number and the names of the objects.
local harness = require "harness"
local lurcher = require "lurcher"
local nn = lurcher.nn
local test, raises = harness.test, harness.raises

test("an error has the line number of the caller, through C functions too", function()
  local line = debug.getinfo(1, "l").currentline + 1
  local message = raises("whole numbers, got x", function() lurcher.zeros(2):view "x" end)
  assert(message:find("errors.lua:" .. line .. ":", 1, true), message)
end)

test("an error has the user's line, through compiled-in scripts too", function()
  local fit = require "lurcher.fit"
  local run <close> = nn.model(nn.dense{ 2 }(nn.input("x", 3))):compile{ optimizer = "sgd", loss = "mean_squared_error" }
  local line = debug.getinfo(1, "l").currentline + 1
  local message = raises("batch", function() fit(run, { { x = 3 } }, { epochs = 1, progress = false }) return 1 end)
  assert(message:find("errors.lua:" .. line .. ":", 1, true) or message:find "errors.lua", message)
end)

test("arguments: number, function, expected, got", function()
  raises("bad argument #1 to '.-write_file' %(string expected, got no value%)", lurcher.write_file)
  raises("bad argument #1 to 'matmul' %(lurcher.tensor expected, got nil%)", function()
    local t = lurcher.zeros(1)
    return t.matmul(nil, t)
  end)
  raises("bad argument #1 to 'matmul' %(lurcher.tensor expected, got nil%)", function() return lurcher.zeros(1):matmul(nil) end)
end)

test("nearest: insertions, deletions, replacements and swaps; at most two, under half of the word", function()
  local nearest, words = lurcher.nearest, { "stride", "padding", "lr" }
  for _, word in ipairs{ "strid", "strides", "strode", "tsride", "tsrdie", "stride" } do
    assert(nearest(word, words) == "stride", word)
  end
  for _, word in ipairs{ "", "rl", "sdti", "units", ("x"):rep(100) } do assert(nearest(word, words) == nil, word) end
  assert(nearest("stride", {}) == nil)
  raises("nearest: list of strings expected, got a number at position 2", nearest, "a", { "b", 1 })
  raises("table expected, got no value", nearest, "a")
end)

test("one line each", function()
  for _, f in ipairs{
    function() lurcher.device "toaster" end, function() nn.conv2d{ 0, 3 } end, function() lurcher.tensor{ { 1 }, 2 } end,
    function() nn.dense{ 3 }(nn.input("x", 3), nn.input("y", 3)) end, function() nn.conv2d{ 3, 9 }(nn.input("x", 4, 4, 3)) end,
    function() nn.add(nn.input("x", 3), nn.input("y", 4)) end, function() nn.model{ y = nn.input("x", 3), z = nn.input("x", 3) } end,
  } do
    local message = raises(".", f)
    assert(not message:find "\n" and message:find "^%S*errors.lua:%d+: ", message)
  end
end)

test("strict globals", function()
  raises("variable 'undeclared' is not declared", function() return undeclared end) -- luacheck: ignore
  raises("variable 'undeclared' is not declared: write local", function() undeclared = 1 end) -- luacheck: ignore
end)
