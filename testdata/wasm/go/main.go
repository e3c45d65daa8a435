// A plugin as they are made for Helm 4: a command that says what it was told, with settings, a file and its environment.
package main

import (
	"fmt"
	"os"

	"github.com/extism/go-pdk"
)

type input struct {
	ExtraArgs []string `json:"extraArgs"`
}

type output struct {
	Data string `json:"data"`
}

//go:wasmexport helm_plugin_main
func main_() int32 {
	var in input
	if err := pdk.InputJSON(&in); err != nil {
		pdk.SetError(err)
		return 1
	}
	if len(in.ExtraArgs) > 0 && in.ExtraArgs[0] == "fail" {
		pdk.SetError(fmt.Errorf("told to fail"))
		return 3
	}
	if err := os.WriteFile("/tmp/note", []byte("noted"), 0o600); err != nil {
		pdk.SetError(err)
		return 1
	}
	note, _ := os.ReadFile("/tmp/note")
	greeting, _ := pdk.GetConfig("greeting")
	fmt.Println("on standard output")
	pdk.Log(pdk.LogWarn, "a warning")
	text := fmt.Sprintf("%s %v %s %s\n", greeting, in.ExtraArgs, note, os.Getenv("HELM_PLUGIN_NAME"))
	if err := pdk.OutputJSON(output{Data: text}); err != nil {
		pdk.SetError(err)
		return 1
	}
	return 0
}

func main() {}
