--- lurcher.report.images: thumbnails as data: URIs, the worst mistakes, and the most confused classes side by side.

local lurcher = require "lurcher"
local html = require "lurcher.report.html"
local image = lurcher.image
local e = html.element

local images = {}

--- An image scaled to at most `side` pixels either way, of the same shape; nil where it cannot be read. exif: turns it
-- as its EXIF orientation asks.
function images.small(path, side, exif)
  local img = image.load(path, { exif = exif })
  if not img then return nil end
  local height, width = img.shape[1], img.shape[2]
  local factor = math.min(1, side / math.max(height, width))
  if factor == 1 then return img end
  local function scaled(extent) return math.max(1, math.floor(extent * factor + 0.5)) end
  return image.resize(img, scaled(height), scaled(width))
end

--- An img element that contains its image.
function images.inline(img, text)
  return e.img{ alt = text, src = "data:image/jpeg;base64," .. html.base64(image.encode(img, { quality = 80 })) }
end

--- An image of the set with a caption. It is shown as a square that is cut from its middle, and is embedded larger,
-- with at most `side` (448) pixels either way: a click shows it whole.
local function figure(set, row, caption, side)
  local img = images.small(set:path(row), side or 448, true)
  return e.figure{ title = set:name(row), img and images.inline(img, set:name(row))
    or e.p{ class = "soft", style = "padding:12px", "cannot be read" }, e.figcaption{ caption } }
end

--- A probability: "97 %", with more digits where it would be 0 or 100; the space does not break.
function images.percent(p)
  if p < 0.0001 then return "<0.01\u{00a0}%" end
  local digits = (p > 0.995 and p < 0.99995 or p < 0.005) and 2 or 0
  return ("%.".. digits .. "f\u{00a0}%%"):format(100 * p)
end

--- "predicted A 97 %, true class B 2 %".
function images.verdict(entry, classes)
  return { "predicted ", e.b{ class = entry.predicted == entry.truth and "true" or "wrong",
    html.breaking(classes[entry.predicted]) }, " ", images.percent(entry.p_predicted), entry.predicted ~= entry.truth
    and { e.br{}, "true class ", e.b{ class = "true", html.breaking(classes[entry.truth]) }, " ",
    images.percent(entry.p_truth) } or false }
end

--- The first `most` mistakes.
function images.mistakes(set, found, classes, most)
  local list = {}
  for i = 1, math.min(most, #found.mistakes) do
    local entry = found.mistakes[i]
    list[i] = figure(set, entry.row, { images.verdict(entry, classes), e.div{ class = "soft",
      html.breaking(set:name(entry.row)) } })
  end
  return e.div{ class = "images", list }
end

--- The most confident correct prediction of a class, or nil.
local function typical(found, class)
  local best
  for _, entry in ipairs(found.predictions) do
    local is_right = entry.truth == class and entry.predicted == class
    if is_right and (not best or entry.p_predicted > best.p_predicted) then best = entry end
  end
  return best
end

--- Images of class `a`: the most confident one, then those taken for `b`.
local function side_of(set, found, classes, a, b)
  local list, best, few <const> = {}, typical(found, a), 3
  if best then list[1] = figure(set, best.row, { "correct, ", images.percent(best.p_predicted) }, 320) end
  for _, entry in ipairs(found.mistakes) do
    if entry.truth == a and entry.predicted == b and #list <= few then
      list[#list + 1] = figure(set, entry.row, { e.span{ class = "wrong", "predicted ",
        html.breaking(classes[b]) }, " ", images.percent(entry.p_predicted) }, 320)
    end
  end
  return e.div{ e.p{ e.b{ html.breaking(classes[a]) } }, e.div{ class = "images", list } }
end

--- The first `most` pairs of classes, each with both sides.
function images.confused(set, found, classes, most)
  local list = {}
  for i = 1, math.min(most, #found.pairs) do
    local pair = found.pairs[i]
    list[i] = { e.h3{ ("%s and %s"):format(classes[pair.a], classes[pair.b]) },
      e.p{ class = "soft", ("%d of %d are taken for the other, and %d of %d."):format(pair.a_as_b,
        found.classes[pair.a].count, pair.b_as_a, found.classes[pair.b].count) },
      e.div{ class = "versus", side_of(set, found, classes, pair.a, pair.b),
        side_of(set, found, classes, pair.b, pair.a) } }
  end
  return list
end

return images
