--- Tests of lurcher.json.
local harness = require "harness"
local lurcher = require "lurcher"
local json = lurcher.json
local test, raises = harness.test, harness.raises

local function round(value) return assert(json.decode(json.encode(value))) end

test("values", function()
  assert(json.encode{ b = 1, a = { 1, 2.5, "x", true }, c = json.array{} } == '{"a":[1,2.5,"x",true],"b":1,"c":[]}')
  assert(json.encode{} == "{}" and json.encode(json.array{}) == "[]" and json.encode(nil) == "null")
  assert(json.encode(0 / 0) == "null" and json.encode(math.huge) == "null")
  assert(json.encode{ json.null, 1 } == "[null,1]")
  assert(json.encode('a"\n') == [["a\"\n"]])
  assert(json.encode({ a = 1 }, true):find "\n")
end)

test("numbers come back to the last bit", function()
  for _, x in ipairs{ 0.1, 1 / 3, 1e-300, 123456789.123456789, 2 ^ 53, -0.7071067811865476, 5e-324, math.pi * 1e10 } do
    assert(round{ x }[1] == x, x)
  end
  for i = 1, 1000 do
    local x = (i * 0.618033988749895) % 1
    assert(round{ x }[1] == x)
  end
  assert(json.encode(math.maxinteger) == "9223372036854775807" and math.type(round{ 3 }[1]) == "integer")
end)

test("decode", function()
  local value = assert(json.decode ' { "a" : [ 1, null, {"b": "\\u00e9"} ] } \n')
  assert(value.a[1] == 1 and value.a[2] == json.null and value.a[3].b == "é")
  assert(json.encode(json.decode "[]") == "[]")
  for _, text in ipairs{ "", "{", "[1,]", "{} x", '{"a" 1}', "nope" } do
    local nothing, message, code = json.decode(text)
    assert(nothing == nil and message:find "byte" and code == "EFORMAT", text)
  end
  assert(json.decode(("["):rep(5000)) == nil)
end)

test("what cannot be written", function()
  raises("a function cannot be written", json.encode, { print })
  raises("keys of an object must be strings", json.encode, { [1.5] = 1 })
  raises("zero byte", json.encode, "a\0b")
  local circle = {}
  circle.circle = circle
  raises("does one contain itself", json.encode, circle)
end)
