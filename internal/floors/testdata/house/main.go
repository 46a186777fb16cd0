package main

import _ "m/internal/a"

func main() {}
