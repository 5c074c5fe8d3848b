local status = obj.status
if type(status) ~= "table" then
  status = {}
end
local suspended = (obj.spec or {}).suspend == true
local failed = status.phase == "Failed"
local ended = status.phase == "Succeeded" or failed

local actions = {}

-- A job that failed is suspended and resumed to go on from its checkpoint.
actions["suspend"] = {
  ["displayName"] = "Suspend: stop with a checkpoint",
  ["iconClass"] = "fa fa-fw fa-pause",
  ["disabled"] = suspended or (ended and not (failed and status.checkpoint ~= nil)),
}

actions["resume"] = {
  ["displayName"] = "Resume from the last checkpoint",
  ["iconClass"] = "fa fa-fw fa-play",
  ["disabled"] = not suspended or ended,
}

actions["raise-priority"] = {
  ["displayName"] = "Raise the priority in its queue",
  ["iconClass"] = "fa fa-fw fa-arrow-up",
  ["disabled"] = ended,
  ["params"] = { { ["name"] = "priority" } },
}

actions["start-again"] = {
  ["displayName"] = "Start again as a new job",
  ["iconClass"] = "fa fa-fw fa-redo",
  ["disabled"] = not (ended or status.phase == "Stopped"),
}

return actions
