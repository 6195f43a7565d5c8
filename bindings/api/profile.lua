---@meta
-- profile.lua - require "lurcher.profile"; see lurcher.lua for the conventions.

---Where the time of a run's steps goes, as a table and as a page.
---
---    run:profile(true)
---    for _ = 1, 5 do run:train(batch) end
---    print(profile.text(run))
---    assert(profile.write(run, "profile.html"))
---
---The page shows nested bars whose width is time: pass, block, layer, op. A block is a sequence of layers whose names
---have the same beginning ("block4_..."); layers with numbered names ("conv2d_4") belong to the block before them, or
---after them where there is none. run:profile does the measurement.
---@class lurcher.profile
local profile = {}
---What run:profile measured, in execution order: forward, then backward from the last layer to the first. Rows are {
---layer, op, pass, seconds, flops, bytes }, per step. Raises where nothing was measured.
function profile.rows(run) end
---The rows as a tree of step > pass > block > layer > op. A node is a list of nodes with name, kind, seconds, flops
---and bytes; an op's also has op.
function profile.tree(rows) end
---The slowest `count` (20) rows as a table, and the sum of all. With `machine`, { gflops = peak, gbytes = memory
---bandwidth per second }, each row also has its least possible time, the larger of those of its FLOPs and of its bytes
---(moved once), and what share of the measured time that is. width: characters per line (any number); where there are
---fewer than the table needs, it has fewer columns.
function profile.text(run, count, machine, width) end
---The page of rows that profile.rows gives. title: what was measured.
function profile.page(rows, title) end
---Writes the page of what a run measured. Returns true, or nil and a message.
function profile.write(run, path, title) end
