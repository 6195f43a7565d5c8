--- Tests of the session: on a pipe, and on a terminal that the program `script` emulates.
local harness = require "harness"
local test = harness.test
local folder = harness.folder "repl"
local program = ("HOME='%s' XDG_STATE_HOME= '%s'"):format(folder, harness.program)

--- The output of a session that reads these lines.
local function say(lines)
  local path = folder .. "/input"
  local file = assert(io.open(path, "w"))
  file:write(lines)
  file:close()
  local output, code = harness.run(program .. " < '" .. path .. "'")
  assert(code == 0, output)
  return output
end

local function expect(lines, want)
  local output = say(lines)
  assert(output == want, ("%s\nexpected: %q\ngot: %q"):format(lines, want, output))
end

test("expressions are shown, statements run", function()
  expect("1 + 1\n", "2\n")
  expect("=3, 'x'\n", "3\tx\n")
  expect("x = 4\nx * 2\n", "8\n")
  expect("print 'a'\nnil\n\n", "a\nnil\n")
  expect("lurcher.tensor{ 1, 2 }\n", "lurcher.tensor 2 f32 cpu\n  1 2\n")
  expect("lurcher.zeros(2, 3).shape\n", "{ 2, 3 }\n")
  expect("{ 1, 'a', c = { { 2 } }, b = true }\n", "{ 1, \"a\", b = true, c = { { 2 } } }\n")
  expect("{ [3.5] = 1 }\n", "{ [3.5] = 1 }\n")
  assert(say "t = {}; t.t = t\nt\n":find "^{ t = { t = { t = table: %S+ } } }\n$")
  expect("{ lurcher.range(1) }\n", "{ lurcher.tensor 1 i32 cpu\n  0 }\n")
  expect("{ f = print }\n", "{ f = function }\n")
  for line in say "lurcher\n":gmatch "[^\n]+" do assert(#line <= 120, line) end
end)

test("input over several lines", function()
  expect("for i = 1, 2 do\nprint(i)\nend\n", "1\n2\n")
  expect("lurcher.range(\n2)\n", "lurcher.tensor 2 i32 cpu\n  0 1\n")
  expect("function f(x)\n  return x + 1\nend\nf(1)\n", "2\n")
  expect("s = [[a\nb]]\ns\n", "a\nb\n")
  expect("1 +\n", "")
end)

test("errors do not end the session", function()
  expect("error 'no'\n1\n", "error: no\n1\n")
  expect("x = = 2\n1\n", "error: unexpected symbol near '='\n1\n")
  expect("lurcher.nn.dense{ 3, unit = 2 }\n1\n", "error: unknown option 'unit' to 'dense' (did you mean 'units'?)\n1\n")
  expect("setmetatable({}, { __tostring = function() error 'show' end })\n1\n", "error: show\n1\n")
  assert(say "local t <close> = 3\n1\n":find "non%-closable value\n1\n$")
end)

test("help, exit and quit, unless they are globals", function()
  for _, word in ipairs{ "help", "help()", " ? ", "help ( )" } do
    local output = say(word .. "\n1 + 1\n")
    assert(output:find "^Enter an expression" and output:find "exit, or Ctrl%-D +ends the session"
      and output:find "\n2\n$", output)
  end
  for _, word in ipairs{ "exit", "quit()", " quit" } do expect("1\n" .. word .. "\n2\n", "1\n") end
  expect("exit = 3\nexit\nhelp = 'me'\nhelp\nhelpless\n", "3\nme\nnil\n")
  expect("x = [[\nexit\n]]\n#x\n", "5\n")
end)

test("help of a name, a value and words", function()
  for _, line in ipairs{ 'help "conv2d"', "help(lurcher.nn.conv2d)", "help(lurcher.nn.conv2d(1, 1))" } do
    local output = say(line .. "\n")
    assert(output:find "^nn%.conv2d%(" and output:find "Convolution" and output:find "\n    padding +default", output)
  end
  assert(say 'help "learning rate"\n':find "run, lr %- learning rate")
  assert(say 'help "convv2d"\n':find "did you mean 'conv2d'")
  expect("help = 3\nhelp\n", "3\n")
end)

test("_ is the last value that was not nil", function()
  expect("6 * 7\n_ + 1\n= _, 2\nnil\n_\nx = 1\n_\n", "42\n43\n43\t2\nnil\n43\n43\n")
end)

test("-i enters the session after a script, even one that failed", function()
  local path = folder .. "/s.lua"
  local file = assert(io.open(path, "w"))
  file:write "y = 5 error 'late'"
  file:close()
  local output = harness.run("echo 'y' | " .. program .. " -i '" .. path .. "'")
  assert(output:find "late\n5\n$", output)
end)

--- A session on a terminal with these keys typed; returns everything that it displayed, or nil without `script`.
local function type_keys(keys)
  if harness.run "command -v script" == "" then return nil end
  local function write(name, text)
    local file <close> = assert(io.open(folder .. "/" .. name, "w"))
    file:write(text)
  end
  write("keys", table.concat(keys, "\0") .. "\0")
  write("feed", ([[
    while IFS= read -r -d '' key; do sleep 0.4; printf '%%s' "$key"; done < '%s/keys'
    sleep 0.4]]):format(folder))
  write("start", "exec env " .. program)
  local output = harness.run(("bash '%s/feed' | TERM=vt100 timeout 60 script -qec \"sh '%s/start'\" /dev/null"):format(folder, folder))
  return (output:gsub("\27%[[%d;?]*[%a]", ""):gsub("\r", ""))
end

test("a terminal: editing, completion, Ctrl-C at the prompt and in a loop, history", function()
  local seen = type_keys{
    "lurcher.ver\t\n", -- the one candidate
    "x = require \"lurcher.sched\t\".constant(7)(0)\n", "x - 1\n", -- a module in quotes
    "lurcher.tensor{1}:arg\t", "\3", -- what precedes ':' is not a name: nothing is offered
    "t = lurcher.range(3)\n", "t:clo\t", "\t", "\3", -- two candidates are listed; Ctrl-C drops the line
    "\3", "for i = 1, 2 do\n", "\3", -- with nothing typed, and in a continued line
    "while true do end\n", "\3", "6 * 7\n", "t:clon\t():sum()\n", "\4",
  }
  if seen == nil then return end
  assert(seen:find "Lurcher 0", seen)
  assert(seen:find "lurcher.version\n\"?0%.%d", seen)
  assert(seen:find "lurcher%.schedules\"%.constant" and seen:find "\n6\n", seen)
  assert(seen:find "clone%s+close", seen)
  assert(seen:find "interrupted", seen)
  assert(seen:find "\n42\n", seen)
  assert(seen:find "t:clone%(%):sum%(%)\n3", seen)
  local file <close> = assert(io.open(folder .. "/.lurcher_history"))
  assert(file:read "a":find "while", "history is kept")
end)
