package fault

// switching: upgrades.
var switching = []Row{}
