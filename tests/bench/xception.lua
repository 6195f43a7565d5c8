-- xception.lua - Xception beside PyTorch, on the CPU or on a GPU: the two processes take turns within one run, so that
-- other load on the machine affects both. A figure is a ratio with its spread, never a time alone.
--
-- Usage: lurcher tests/bench/xception.lua [WORK[:BATCH] ...]        default: inference:8 train:8
-- WORK: inference, train (all layers are trainable) or tune (layers[105:] are).
-- In the environment, with defaults:
--   LURCHER_BENCH_ROUNDS (5)         turns
--   LURCHER_BENCH_ITERATIONS (4)     timed steps per turn
--   LURCHER_BENCH_DEVICE (cpu), LURCHER_BENCH_PRECISION (f32), LURCHER_BENCH_SIZE (299), LURCHER_THREADS (2)
--   LURCHER_BENCH_PYTHON (/usr/bin/python3)   a python3 with torch, as of Debian's python3-torch
--   LURCHER_BENCH_PEER (eager)       or compile
--   LURCHER_BENCH_WIDTH (1)          less is for testing this script: the peer's width is always 1
local lurcher = require "lurcher"

local here = arg[0]:match("^(.*)/[^/]*$") or "."
local rounds = tonumber(os.getenv "LURCHER_BENCH_ROUNDS" or 5)
local iterations = tonumber(os.getenv "LURCHER_BENCH_ITERATIONS" or 4)
local threads = os.getenv "LURCHER_THREADS" or "2"
local python = os.getenv "LURCHER_BENCH_PYTHON" or "/usr/bin/python3"
local program = arg[-1] or "lurcher"
local device, precision = os.getenv "LURCHER_BENCH_DEVICE" or "cpu", os.getenv "LURCHER_BENCH_PRECISION" or "f32"
local size, mode = os.getenv "LURCHER_BENCH_SIZE" or "299", os.getenv "LURCHER_BENCH_PEER" or "eager"

local function median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local n = #sorted
  return (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2, sorted[1], sorted[n]
end

-- Runs one process; returns its median seconds per step and its peak memory in bytes.
local function measure(command)
  local pipe = assert(io.popen(command, "r"))
  local line = pipe:read "l" or ""
  local text, peak = line:match "^(.*) peak (%d+)$"
  pipe:close()
  if not text then error(("no figures from: %s\n%s"):format(command, line), 0) end
  local seconds = {}
  for word in text:gmatch "%S+" do seconds[#seconds + 1] = tonumber(word) end
  return median(seconds), tonumber(peak)
end

local function compare(work, batch)
  local ours = ("LURCHER_THREADS=%s %s %s/worker.lua %s %d %d %s %s %s %s"):format(threads, program, here, work, batch,
    iterations, size, device, precision, os.getenv "LURCHER_BENCH_WIDTH" or "1")
  local peer = ("%s %s/peers/torch_xception.py %s %d %d %s %s %s %s %s"):format(python, here, work, batch, iterations,
    threads, size, device, precision, mode)
  local a, b, ratios, memory = {}, {}, {}, {}
  for i = 1, rounds do
    local our_peak, peer_peak
    a[i], our_peak = measure(ours)
    b[i], peer_peak = measure(peer)
    ratios[i], memory[i] = b[i] / a[i], our_peak / peer_peak
    io.stderr:write(("  %s:%d round %d: %.2f against %.2f images/s, ratio %.3f, memory %.2f\n"):format(
      work, batch, i, batch / a[i], batch / b[i], ratios[i], memory[i]))
  end
  local ratio, low, high = median(ratios)
  print(("%-10s %5d  %8.2f  %8.2f  %6.2fx  (%.2f to %.2f)  %6.2fx"):format(
    work, batch, batch / median(a), batch / median(b), ratio, low, high, (median(memory))))
end

print(("lurcher %s, %s threads, medians of %d turns of %d steps; %s, %s, peer %s"):format(lurcher.version, threads,
  rounds, iterations, device, precision, mode))
print(("%-10s %5s  %8s  %8s  %6s   %-16s %6s"):format("work", "batch", "images/s", "peer", "speed", "(spread)",
  "memory"))
local works = #arg > 0 and arg or { "inference:8", "train:8" }
for _, entry in ipairs(works) do
  local work, batch = entry:match "^(%a+):?(%d*)$"
  if not work then error("bench: WORK[:BATCH] expected, got '" .. entry .. "'", 0) end
  compare(work, tonumber(batch) or 8)
end
