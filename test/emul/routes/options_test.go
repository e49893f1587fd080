package cloudroutes_test

type options map[string]any

func (o options) and(options) options { return o } // for tasks, of which there are none here
