package b

import _ "m/internal/a"
