package cloudforwarding_test

type options map[string]any
