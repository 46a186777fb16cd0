package fault

// resolving: name resolution.
var resolving = []Row{}
