package fault

// connecting: TCP and unix connects.
var connecting = []Row{}
