--- Tests that names from files reach the terminal without what it would obey: control characters, marks that change the
-- direction of text, newlines that forge lines.
local harness = require "harness"
local lfs = require "lfs"
local files = require "lurcher.files"
local lurcher = require "lurcher"
local test, raises = harness.test, harness.raises

local work = harness.folder "visible"
local succeeds = harness.commands(work)
local program = "'" .. harness.program .. "'"

-- a title that is set, colours, a line that is deleted, DEL, a C1 control as UTF-8 and as a byte, a reversed text
local hostile <const> = "a\27]0;x\7b\27[2K\127c\u{9b}31m\x9bd\u{202e}gnp"
local shown <const> = "a\\x1b]0;x\\x07b\\x1b[2K\\x7fc\\x9b31m\\x9bd\\u{202e}gnp"

--- Fails where a text has a byte that a terminal obeys, other than newline, tab and return.
local function check_harmless(text, what)
  local rest = text:gsub("[\n\t\r]", ""):gsub("\27%[K", "") -- the progress line's own
  assert(not rest:find "[%c\127]", what .. ": " .. text:gsub("%c", "?"))
  for _, mark in ipairs{ "\u{9b}", "\u{202e}", "\u{2066}", "\u{200f}", "\u{2028}" } do
    assert(not rest:find(mark, 1, true), what .. " has a mark: " .. text)
  end
end

test("visible: what is escaped, and what stays", function()
  local visible = lurcher.visible
  assert(visible(hostile) == shown, visible(hostile))
  for _, text in ipairs{ "", "plain", "Grüße", "日本語", "\u{1f600}", "\\x1b", "a b'\"c" } do assert(visible(text) == text, text) end
  assert(visible "a\nb\tc\rd" == "a\\x0ab\\x09c\\x0dd" and visible("a\nb\tc\rd", true) == "a\nb\tc\\x0dd")
  assert(visible "a\0b" == "a\\x00b" and visible "\xff\xc0\x80" == "\\xff\\xc0\\x80" and visible "\xe4\xb8" == "\\xe4\\xb8")
  assert(visible "\u{2066}\u{2069}\u{200e}" == "\\u{2066}\\u{2069}\\u{200e}")
  assert(visible(0.5) == "0.5")
end)

test("messages have one line, with visible names", function()
  for _, name in ipairs{ "/nowhere/" .. hostile, "/nowhere/x\nlurcher: all is well" } do
    for _, open in ipairs{ lurcher.image.load, lurcher.load_tensors, lurcher.nn.load } do
      local _, message = open(name)
      check_harmless(message, "message")
      assert(not message:find "\n", message)
    end
    check_harmless(raises("unknown option", lurcher.optim.adam, { [name] = 1 }), "message")
    local text = raises("", lurcher.device, name)
    check_harmless(text, "message")
    assert(not text:find "\n", text)
  end
  -- a message that is cut off ends with a whole character
  local _, message = lurcher.image.load("/" .. ("ü"):rep(600))
  assert(utf8.len(message) and not message:find "\\x", message)
end)

test("what handles print has visible names", function()
  local name = "x\27[31m\u{202e}"
  local set = assert(lurcher.data.list{ { "nothing.jpg", name } })
  check_harmless(tostring(set), "dataset")
  local nn = lurcher.nn
  local model = nn.model(nn.dense{ 2, name = name }(nn.input("i\27[2J", 3)))
  check_harmless(tostring(model), "model")
  check_harmless(tostring(model:layer(name)), "layer")
  assert(tostring(model):find("\\x1b[31m", 1, true))
  assert(model:layer(name).name == name) -- the name itself stays
end)

test("JSON escapes what a terminal would obey, and reads it back", function()
  local text = lurcher.json.encode{ "\127\u{9b}\u{202e}\u{2028}ü日\u{1f600}\27" }
  check_harmless(text, "JSON")
  assert(text == '["\\u007f\\u009b\\u202e\\u2028ü日\u{1f600}\\u001b"]', text)
  assert(lurcher.json.decode(text)[1] == "\127\u{9b}\u{202e}\u{2028}ü日\u{1f600}\27")
  -- bytes that are not UTF-8 stay as they are, also where they begin as a character does
  for _, bytes in ipairs{ "\xe0\xa0\xe0", "\xe2\x80\xff", "\xed\xa0\x80", "\xc2", "\xc2\xff", "\xe2\x80", "\xff" } do
    text = lurcher.json.encode{ bytes }
    assert(text == '["' .. bytes .. '"]', lurcher.visible(text))
    assert(lurcher.json.decode(text)[1] == bytes)
  end
end)

test("an error of a recipe is one line, whatever the name of a file", function()
  local name <const> = "no\nlurcher: all is well"
  for _, command in ipairs{ "single_model --data %s", "froze_fine_tune --data %s", "modern_tune --data %s", "report %s",
    "compare %s", "cache %s", "audit %s", "augment_preview --data %s" } do
    local output, code = harness.run(("cd '%s' && %s %s"):format(work, program, command:format("'" .. name .. "'")))
    assert(code ~= 0, command)
    assert(not output:find("\nlurcher: all is well", 1, true) and output:find("no\\x0alurcher", 1, true), output)
  end
end)

test("a script prints what it likes; the session and errors show escapes", function()
  assert(succeeds "-e 'print \"\\27[1m\"'" == "\27[1m\n")
  assert(succeeds "-e 'io.write \"\\27[1m\"'" == "\27[1m")
  local output = harness.run("printf '%s\n' '\"a\\27[1mb\"' '{ \"\\27[1m\", [\"\\27\"] = 1 }' 'error \"\\27[1m\"' | " .. program)
  check_harmless(output, "session")
  assert(output:find("a\\x1b[1mb\n", 1, true), output)
  local code
  output, code = harness.run(program .. " -e 'error \"a\\27[1m\\nb\"'")
  check_harmless(output, "error")
  assert(code == 1 and output:find("a\\x1b[1m\nb\n", 1, true), output)
  output = harness.run(("%s \"$(printf 'no\\033[1m.lua')\""):format(program))
  check_harmless(output, "script name")
end)

test("recipes print names of files and classes with escapes", function()
  local class = hostile:gsub("/", "") .. "\nforged"
  for _, part in ipairs{ "train", "valid" } do
    for k, name in ipairs{ class, ("long"):rep(30) } do
      local folder = ("%s/d/%s/%s"):format(work, part, name)
      assert(files.make_folders(folder))
      for i = 1, 3 do
        lurcher.seed(10 * k + i + #part)
        assert(lurcher.image.save(("%s/%d%s.png"):format(folder, i, i == 2 and "\27[1m\nx" or ""),
          lurcher.uniform{ 40, 40, 3, high = 255 }))
      end
    end
  end
  assert(lurcher.write_file(("%s/d/train/%s/broken\27[1m.jpg"):format(work, class), "no image"))
  local function harmless(arguments)
    local output, code = harness.run(("cd '%s' && %s %s"):format(work, program, arguments))
    check_harmless(output, arguments)
    for line in output:gmatch "[^\n]+" do assert(not line:find "^forged", arguments .. ": " .. output) end
    return output, code
  end
  local output, code = harmless "audit d"
  assert(code == 1 and output:find("corrupt", 1, true) and output:find("\\x1b[1m", 1, true), output)
  output, code = harmless("single_model --data d --out r --size 64 --width 0.125 --middle 1 --epochs 1 --batch 2 --workers 1 "
    .. "--cache cache --freeze all --no-report")
  assert(code == 0 and output:find("broken\\x1b[1m.jpg", 1, true), output)
  output, code = harmless "single_model_test --model r --data d/valid --workers 1 --cache none"
  assert(code == 0 and output:find "confusion", output)
  harmless "cache list --cache cache"
  harmless "img2folders --data d/train --out o --dry-run"
  harmless(("audit \"$(printf 'no\\033[1m')\""))
  harmless(("single_model --data \"$(printf 'no\\033[1m')\""))
  harmless(("single_model \"--$(printf 'no\\033[1m')\" 3"))
  assert(lfs.attributes(work .. "/r/model.safetensors"))
end)
