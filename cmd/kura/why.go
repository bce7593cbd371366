package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

// whyCommand looks a refused decision up: it is sts:DecodeAuthorizationMessage, signed with the
// credentials of the environment, printed for people.
func whyCommand(p program) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "why DECISION-ID",
		Short: "Explain why a request was refused (needs sts:DecodeAuthorizationMessage)",
		Long: "Explain why a request was refused. The decision id is the request id of the refused answer (<RequestId>, or the\n" +
			"header x-kura-decision-id). Endpoint and credentials come from the environment, as client.env sets it.",
		Args: exactlyOne("DECISION-ID"),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return errUsage{fmt.Errorf("--output is text or json, not %q", output)}
			}
			message, err := fetchDecision(c.Context(), environment(p.environ), args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				_, err = fmt.Fprintln(p.stdout, message)
				return err
			}
			return printDecision(p.stdout, message)
		},
	}
	c.Flags().StringVar(&output, "output", "text", "text or json")
	return c
}

func exactlyOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return errUsage{fmt.Errorf("needs exactly one argument: %s", what)}
		}
		return nil
	}
}

func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// fetchDecision asks the server.
func fetchDecision(ctx context.Context, env map[string]string, id string) (string, error) {
	c, err := newClient(env, "")
	if err != nil {
		return "", err
	}
	var told struct {
		Message string `xml:"DecodeAuthorizationMessageResult>DecodedMessage"`
	}
	err = c.query(ctx, "sts", "2011-06-15", "DecodeAuthorizationMessage", url.Values{"EncodedMessage": {id}}, &told)
	return told.Message, err
}

// printDecision lays a decision out for people: first what decided, then all layers.
func printDecision(w io.Writer, message string) error {
	var d struct {
		Decision, Reason, Layer, Action, Resource, Principal string
	}
	if err := json.Unmarshal([]byte(message), &d); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n  principal  %s\n  action     %s\n  resource   %s\n  reason     %s\n\n", d.Decision, d.Principal, d.Action, d.Resource, d.Reason)
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(message), "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, pretty.String())
	return err
}
