package a

import _ "sync"
