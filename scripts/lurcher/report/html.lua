--- lurcher.report.html: HTML and SVG from Lua tables, safe by default: every string is escaped unless it came out of an
-- element.
--
--     local e = html.element
--     html.text(e.p{ class = "note", "a < b ", e.b{ "bold" }, false })   --> <p class="note">a &lt; b <b>bold</b></p>
--
-- In the table of an element, string keys are attributes (sorted; false: left out), and the list part is the content:
-- strings, numbers, elements, lists of these; false is left out.

local lurcher = require "lurcher"
local script = require "lurcher.report.script"

local html = {}

local markup = {} -- metatable of finished HTML: { text }

local replaced <const> = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

--- Text escaped for HTML, in quoted attributes too. Bytes that are not UTF-8 (file names may be anything) become
-- U+FFFD, and control characters spaces.
function html.escape(text)
  text = lurcher.format("%s", text) -- a number has a point whatever the locale
  if not utf8.len(text) then text = text:gsub("[\128-\255]", "\u{FFFD}") end
  return (text:gsub("[%c]", " "):gsub("[&<>\"']", replaced))
end

local void <const> = { img = true, br = true, meta = true, hr = true, wbr = true }

local function add(parts, content)
  if content == false or content == nil then return end
  local kind = type(content)
  if kind == "table" and getmetatable(content) == markup then
    parts[#parts + 1] = content[1]
  elseif kind == "table" then
    for i = 1, #content do add(parts, content[i]) end
  elseif kind == "string" or kind == "number" then
    parts[#parts + 1] = html.escape(content)
  else
    error(("html: a string, number, element or list expected, got %s"):format(kind), 3)
  end
end

local function render(tag, spec)
  local names, parts = {}, { "<" .. tag }
  for name, value in pairs(spec) do
    if type(name) == "string" and value ~= false then names[#names + 1] = name end
  end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = (' %s="%s"'):format(name, html.escape(spec[name])) end
  parts[#parts + 1] = ">"
  if not void[tag] then
    for i = 1, #spec do add(parts, spec[i]) end
    parts[#parts + 1] = "</" .. tag .. ">"
  end
  return setmetatable({ table.concat(parts) }, markup)
end

--- element.TAG{ attributes and content } makes an element.
html.element = setmetatable({}, { __index = function(elements, tag)
  local make = function(spec) return render(tag, spec) end
  elements[tag] = make
  return make
end })

--- The HTML of an element, or of a list of them.
function html.text(content)
  local parts = {}
  add(parts, content)
  return table.concat(parts)
end

--- A name, path or command as text that may break after "/", "_", "-", "=" and "," within a word, and before a capital
-- after a small letter: "n0212-afghan_hound/img_01.jpg". Without these, a browser breaks long names anywhere, or not at
-- all.
function html.breaking(text)
  text = lurcher.format("%s", text):gsub("[%c]", " ")
  local marked = text:gsub("()([/_%-,=])(%w)", function(at, separator, letter)
    local is_within = at > 1 and text:find("^[^%s%-]", at - 1)
    return is_within and separator .. "\0" .. letter or nil
  end):gsub("(%l)(%u)", "%1\0%2")
  local list = {}
  for part in marked:gmatch "[^%z]+" do
    if #list > 0 then list[#list + 1] = html.element.wbr{} end
    list[#list + 1] = part
  end
  return list
end

-- Base64 (RFC 4648), three bytes at a time.
local digits <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local twelve_bits = {}
for i = 0, 4095 do
  local high, low = i // 64 + 1, i % 64 + 1
  twelve_bits[i] = digits:sub(high, high) .. digits:sub(low, low)
end

--- A string of bytes in base64 (RFC 4648), for images inside the page.
function html.base64(bytes)
  local parts, whole = {}, #bytes - #bytes % 3
  for i = 1, whole, 3 do
    local a, b, c = bytes:byte(i, i + 2)
    local bits = a << 16 | b << 8 | c
    parts[#parts + 1] = twelve_bits[bits >> 12]
    parts[#parts + 1] = twelve_bits[bits & 4095]
  end
  local rest = #bytes - whole
  if rest == 1 then
    parts[#parts + 1] = twelve_bits[bytes:byte(-1) << 4] .. "=="
  elseif rest == 2 then
    local a, b = bytes:byte(-2, -1)
    local bits = (a << 8 | b) << 2
    parts[#parts + 1] = twelve_bits[bits >> 6] .. digits:sub((bits & 63) + 1, (bits & 63) + 1) .. "="
  end
  return table.concat(parts)
end

local style <const> = [[
:root{color-scheme:light dark;--paper:#fbfaf8;--card:#fff;--ink:#23262b;--soft:#5f656d;--line:#e4e2dd;--accent:#2b6cb0;
--warm:#b84e13;--good:#2a7650;--c1:#2b6cb0;--c2:#c2571a;--c3:#2f855a;--c4:#8e44ad;--c5:#b7791f;--c6:#0e7c86;
--c7:#b83280;--c8:#5a6270}
@media (prefers-color-scheme:dark){:root{--paper:#16181c;--card:#1e2126;--ink:#e4e6e9;--soft:#a3a9b2;--line:#363a41;
--accent:#74b3f0;--warm:#f0995c;--good:#6cc795;--c1:#74b3f0;--c2:#f0995c;--c3:#6cc795;--c4:#c792ea;--c5:#e2bd6b;
--c6:#5cc8d1;--c7:#f08cc0;--c8:#aab1ba}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);-webkit-text-size-adjust:100%;
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:26px;margin:8px 0 2px;overflow-wrap:anywhere}
h2{font-size:19px;margin:44px 0 4px}h3{font-size:15px;margin:18px 0 6px;overflow-wrap:anywhere}
p{margin:4px 0 12px;max-width:76ch;overflow-wrap:anywhere}.soft{color:var(--soft)}.small{font-size:13px}
a{color:var(--accent)}nav{display:flex;flex-wrap:wrap;gap:4px 14px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px;margin:20px 0}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;min-width:0}
.tile b{display:block;font-size:22px;font-weight:600;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{display:block;color:var(--soft);font-size:13px;line-height:1.35}
.notice{border-left:4px solid var(--accent)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr));gap:14px}
svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}
.grid{stroke:var(--line);stroke-width:1}.mark{stroke:var(--soft);stroke-width:1;stroke-dasharray:3 3}
.curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.ring{fill:none;stroke-width:2}
svg text.best{fill:var(--ink);font-weight:600;paint-order:stroke;stroke:var(--card);stroke-width:4px;
stroke-linejoin:round}
svg.pick{cursor:crosshair}.readout{min-height:1.4em;font-size:13px;line-height:1.4;color:var(--soft);
font-variant-numeric:tabular-nums}
.key{display:inline-block;margin-right:14px;font-size:13px;color:var(--soft);overflow-wrap:anywhere}
.key i{display:inline-block;width:16px;height:3px;border-radius:2px;margin-right:5px;vertical-align:middle}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:4px 12px 4px 0;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);font-size:13px;vertical-align:bottom}td.n,th.n{text-align:right}
td.n,table.sort th{white-space:nowrap}td.name{overflow-wrap:break-word}
td.name:first-child{position:sticky;left:0;background:var(--card)}
th button{font:inherit;color:inherit;background:none;border:0;padding:2px 0;cursor:pointer;text-align:inherit}
th button:hover{color:var(--ink)}
th button::after{content:"\2195";opacity:.45;margin-left:4px;font-weight:400}
th[aria-sort=ascending] button::after{content:"\2191";opacity:1}
th[aria-sort=descending] button::after{content:"\2193";opacity:1}
.track{display:inline-block;width:98px}
.bar{display:inline-block;height:8px;border-radius:4px;background:var(--accent);vertical-align:middle}
.bar.low{background:var(--warm)}
.images{display:grid;grid-template-columns:repeat(auto-fill,minmax(168px,1fr));gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:8px;overflow:hidden;min-width:0}
figure img{display:block;width:100%;height:auto;aspect-ratio:1;object-fit:cover}
figure img.pick{cursor:zoom-in}figure img.pick:focus-visible{outline:3px solid var(--accent);outline-offset:-3px}
figcaption{padding:7px 10px 9px;font-size:13px;line-height:1.4;overflow-wrap:anywhere}
dialog{border:1px solid var(--line);border-radius:8px;padding:0;background:var(--card);color:var(--ink);
max-width:min(94vw,900px);max-height:94vh}
dialog::backdrop{background:rgba(0,0,0,.65)}
dialog img{display:block;width:min(94vw,900px);max-width:100%;max-height:78vh;object-fit:contain;
background:var(--paper);cursor:zoom-out}
dialog p{margin:8px 14px;font-size:14px}
.wrong{color:var(--warm)}.true{color:var(--good)}
.versus{display:grid;grid-template-columns:1fr 1fr;gap:18px}.versus>div{min-width:0}
.versus .images{grid-template-columns:repeat(auto-fill,minmax(120px,1fr))}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),1fr));gap:14px}
.maps figure div{display:grid;grid-auto-columns:1fr;grid-auto-flow:column;gap:2px}
.settings{columns:320px;column-gap:32px}
.settings div{break-inside:avoid;display:flex;gap:10px;border-bottom:1px solid var(--line);padding:3px 0}
.settings dt,.settings dd{margin:0}.settings dt{color:var(--soft);flex:0 0 44%}
.settings dd{overflow-wrap:anywhere;flex:1;min-width:0}
.compare td:first-child,.compare th:first-child{position:sticky;left:0;background:var(--card);z-index:1;
max-width:38vw;overflow-wrap:break-word}
.compare td,.compare th{padding-right:20px}.compare .key{overflow-wrap:break-word;margin:0}
.compare tr.part th{padding-top:16px;color:var(--ink);overflow-wrap:normal}
.compare .won{font-weight:700;color:var(--good)}
code{font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
@media (max-width:600px){main{padding:14px 12px 40px}.versus{grid-template-columns:1fr}h1{font-size:21px}
.tiles{grid-template-columns:repeat(auto-fill,minmax(136px,1fr));gap:8px}.tile b{font-size:19px}
.images{grid-template-columns:repeat(auto-fill,minmax(136px,1fr));gap:8px}.card{padding:10px}}
]]

--- A self-contained page; its content security policy makes the browser load nothing else, and run no script but
-- lurcher.report.script, so that no text of the page can become one. more: further CSS, or nil. refresh: seconds after
-- which the page is loaded again, or nil.
function html.page(title, content, more, refresh)
  local e = html.element
  return "<!DOCTYPE html>\n" .. html.text(e.html{ lang = "en",
    e.head{ e.meta{ charset = "utf-8" }, e.title{ title },
      e.meta{ name = "viewport", content = "width=device-width, initial-scale=1" },
      e.meta{ ["http-equiv"] = "Content-Security-Policy",
        content = ("default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src '%s'"):format(
          script.hash) },
      refresh and e.noscript{ e.meta{ ["http-equiv"] = "refresh", content = refresh } } or false,
      setmetatable({ "<style>" .. style .. (more or "") .. "</style>" }, markup) },
    e.body{ ["data-refresh"] = refresh or false, e.main(content),
      setmetatable({ "<script>" .. script.text .. "</script>" }, markup) } }) .. "\n"
end

return html
