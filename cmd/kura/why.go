package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kura-s3/kura/internal/authn"
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

// maxDecision bounds the answer that is read.
const maxDecision = 1 << 20

// fetchDecision asks the server.
func fetchDecision(ctx context.Context, env map[string]string, id string) (string, error) {
	endpoint, key, secret := env["AWS_ENDPOINT_URL"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"]
	if endpoint == "" || key == "" || secret == "" {
		return "", errUsage{errors.New("set AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `source DIR/client.env` does")}
	}
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body := url.Values{"Action": {"DecodeAuthorizationMessage"}, "Version": {"2011-06-15"}, "EncodedMessage": {id}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/", strings.NewReader(body))
	if err != nil {
		return "", errUsage{err}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	hash := sha256.Sum256([]byte(body))
	region := env["AWS_REGION"]
	if region == "" {
		region = "us-east-1"
	}
	if _, err := authn.Sign(r, authn.Signing{
		AccessKeyID: key, Secret: secret, SessionToken: env["AWS_SESSION_TOKEN"], Region: region, Service: "sts",
		Time: time.Now(), PayloadHash: hex.EncodeToString(hash[:]),
	}); err != nil {
		return "", err
	}
	client, err := clientTrusting(env["AWS_CA_BUNDLE"])
	if err != nil {
		return "", err
	}
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxDecision))
	if err != nil {
		return "", err
	}
	return readDecision(response.StatusCode, answer)
}

func readDecision(status int, answer []byte) (string, error) {
	var doc struct {
		Message string `xml:"DecodeAuthorizationMessageResult>DecodedMessage"`
		Code    string `xml:"Error>Code"`
		Text    string `xml:"Error>Message"`
	}
	if err := xml.Unmarshal(answer, &doc); err != nil {
		return "", fmt.Errorf("the answer (%d) is not of AWS STS: %w", status, err)
	}
	if status != http.StatusOK {
		return "", fmt.Errorf("%s: %s", doc.Code, doc.Text)
	}
	return doc.Message, nil
}

func clientTrusting(bundle string) (*http.Client, error) {
	if bundle == "" {
		return http.DefaultClient, nil
	}
	pem, err := os.ReadFile(bundle)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", bundle)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Transport: transport}, nil
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
