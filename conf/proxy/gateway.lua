-- Asks ldap-gateway about a request, by HAProxy's own HTTP client: nothing else has to be installed.
--
--   http-request lua.ldap_gateway remote-user,remote-groups
--
-- 2xx: the named headers of the answer replace those of the request, and the session cookie is taken out: an application
-- that has it could be that person everywhere. Any other answer goes to the client.
-- No answer: 503. The proxy sets X-Forwarded-Method, -Proto, -Host, -Uri and -For before (see haproxy.cfg).

local url = os.getenv("GATEWAY_URL")
local timeout_ms = 5000

-- Never Connection, Expect, Transfer-Encoding and the like: they speak of another request than the one that asks.
local asked = {
  "accept", "authorization", "proxy-authorization", "cookie", "origin", "content-type", "x-requested-with",
  "access-control-request-method", "access-control-request-headers", "sec-fetch-mode", "sec-fetch-dest",
  "sec-fetch-site", "x-forwarded-method", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-uri", "x-forwarded-for",
}
local answered = {
  "location", "set-cookie", "www-authenticate", "proxy-authenticate", "content-type", "cache-control", "vary", "retry-after",
}

-- The values of some headers, from HAProxy's lists, which begin at 0, to its HTTP client's, which begin at 1.
local function picked(headers, names)
  local found = {}
  for _, name in ipairs(names) do
    local values = headers[name]
    if values then
      found[name] = {}
      for index = 0, #values do
        if values[index] then table.insert(found[name], values[index]) end
      end
    end
  end
  return found
end

local function hide_session(http)
  local cookies = http:req_get_headers()["cookie"]
  if not cookies then return end
  http:req_del_header("cookie")
  for index = 0, #cookies do
    local kept = cookies[index]
    for _, name in ipairs({"__Secure%-gw", "__Host%-gw"}) do
      kept = string.gsub(kept, "%f[_%w]" .. name .. "=[^;]*;? *", "")
    end
    if kept ~= "" then http:req_add_header("cookie", kept) end
  end
end

local function ask(txn, identity)
  local answer = core.httpclient():get{
    url = url, headers = picked(txn.http:req_get_headers(), asked), timeout = timeout_ms,
  }
  local status = answer and answer.status or 0
  if status >= 200 and status < 300 then
    for name in string.gmatch(identity, "[^,]+") do
      txn.http:req_del_header(name)
      local values = answer.headers[name]
      if values and values[0] then txn.http:req_set_header(name, values[0]) end
    end
    hide_session(txn.http)
    return
  end
  if status < 300 then
    txn:done(txn:reply{status = 503, headers = {["retry-after"] = {"5"}}})
  end
  txn:done(txn:reply{status = status, headers = picked(answer.headers, answered), body = answer.body})
end

core.register_action("ldap_gateway", {"http-req"}, ask, 1)
