package a

import _ "os"
