package fault

// meaning: valid answers that speak of a failure behind us.
var meaning = []Row{}
