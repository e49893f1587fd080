// Package emul holds the vendors' own clients against our stand-ins for their
// clouds: in a folder for each client, and in routes those that make routes. A
// stand-in that only our own client can speak to proves little; what Azure's and
// Google's clients take for their cloud is at least what they expect of it.
//
// It is a module of its own, so that these clients, which take minutes to compile,
// are in no program that we ship. The stand-ins are those of
// internal/fakecloud. make emul runs it.
package emul
