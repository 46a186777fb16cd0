package looptest

var secured []contract
