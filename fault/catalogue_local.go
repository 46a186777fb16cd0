package fault

// local: the gateway or its machine.
var local = []Row{}
