package loop

// SystemListen opens what Listen does without a hook.
var SystemListen = systemListen
