package fault

// client: requests that are at fault themselves (ours: faults.md names answers only).
var client = []Row{}
