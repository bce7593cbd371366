package lambda

import (
	"context"
	"fmt"

	"github.com/kura-s3/kura/internal/api"
	"github.com/kura-s3/kura/internal/api/member"
	"github.com/kura-s3/kura/internal/api/wire/lambdawire"
	"github.com/kura-s3/kura/internal/audit"
	"github.com/kura-s3/kura/internal/authz"
	"github.com/kura-s3/kura/internal/fault"
	"github.com/kura-s3/kura/internal/function"
)

// maxCodeBody is the largest request that brings code: 50 MB in base64, and its settings (as AWS says it).
const maxCodeBody = 70167211

func (e edge) functionOps() []*api.Op {
	return []*api.Op{
		e.create(),
		declare(e, operation{&lambdawire.UpdateFunctionCode, audit.Management, api.Write, "lambda:UpdateFunctionCode", maxCodeBody},
			whole(func(in *lambdawire.UpdateFunctionCodeInput) *string { return in.FunctionName }), e.updateCode),
		on(e, &lambdawire.UpdateFunctionConfiguration, api.Write, whole(func(in *lambdawire.UpdateFunctionConfigurationInput) *string { return in.FunctionName }), e.configure,
			func(c *api.Call, _ *authz.Demand, in *lambdawire.UpdateFunctionConfigurationInput) {
				e.passRole(c, in.Role)
			}),
		on(e, &lambdawire.GetFunction, api.Read, func(in *lambdawire.GetFunctionInput) (*string, *string) { return in.FunctionName, in.Qualifier }, e.get),
		on(e, &lambdawire.GetFunctionConfiguration, api.Read, func(in *lambdawire.GetFunctionConfigurationInput) (*string, *string) {
			return in.FunctionName, in.Qualifier
		},
			func(c call, _ *lambdawire.GetFunctionConfigurationInput) (*lambdawire.GetFunctionConfigurationOutput, error) {
				f, conf, err := e.functions.Configuration(c.ref)
				if err != nil {
					return nil, err
				}
				return new(lambdawire.GetFunctionConfigurationOutput(e.show(c, c.grant, f, conf, c.ref))), nil
			}),
		on(e, &lambdawire.DeleteFunction, api.Write, func(in *lambdawire.DeleteFunctionInput) (*string, *string) { return in.FunctionName, in.Qualifier },
			func(c call, _ *lambdawire.DeleteFunctionInput) (*lambdawire.DeleteFunctionOutput, error) {
				return &lambdawire.DeleteFunctionOutput{StatusCode: new(int32(204))}, e.functions.Delete(c, c.grant, c.ref)
			}),
		e.list(),
	}
}

// passRole demands that the caller may give a role to Lambda.
func (e edge) passRole(c *api.Call, role *string) {
	if role != nil {
		d := e.PassRole(*role, Principal)
		c.Need(d.Action, d.Resource, d.Keys)
	}
}

// create differs from the others: what it is about need not exist, and its tags are condition keys.
func (e edge) create() *api.Op {
	ref := func(c *api.Call, in *lambdawire.CreateFunctionInput) (function.Ref, error) {
		return e.whole(account(c), in.FunctionName)
	}
	return api.Declare(api.Decl[lambdawire.CreateFunctionInput, lambdawire.CreateFunctionOutput]{
		Wire: &lambdawire.CreateFunction, Class: audit.Management, Access: api.Write, MaxBody: maxCodeBody,
		Demands: func(c *api.Call, in *lambdawire.CreateFunctionInput) ([]authz.Demand, error) {
			r, err := ref(c, in)
			if err != nil {
				return nil, err
			}
			e.passRole(c, in.Role)
			if len(in.Tags) > 0 {
				d := e.functions.TagDemand("lambda:TagResource", r, authz.RequestTags(in.Tags))
				c.Need(d.Action, d.Resource, d.Keys)
			}
			d := e.functions.TagDemand("lambda:CreateFunction", r, authz.RequestTags(in.Tags))
			return c.Need(d.Action, d.Resource, d.Keys), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *lambdawire.CreateFunctionInput) (*lambdawire.CreateFunctionOutput, error) {
			r, err := ref(c, in)
			if err != nil {
				return nil, err
			}
			return e.createFunction(call{ctx, c, g, r}, in)
		},
	})
}

func (e edge) createFunction(c call, in *lambdawire.CreateFunctionInput) (*lambdawire.CreateFunctionOutput, error) {
	if in.Code == nil {
		return nil, invalid("Code is required.")
	}
	if err := refused(in); err != nil {
		return nil, err
	}
	zip, done, err := e.zip(c, source(*in.Code))
	defer done()
	if err != nil {
		return nil, err
	}
	s, err := settings(&lambdawire.UpdateFunctionConfigurationInput{
		Role: in.Role, Handler: in.Handler, Description: in.Description, Timeout: in.Timeout, MemorySize: in.MemorySize, VpcConfig: in.VpcConfig,
		Environment: in.Environment, Runtime: in.Runtime, DeadLetterConfig: in.DeadLetterConfig, KMSKeyArn: in.KMSKeyArn, TracingConfig: in.TracingConfig,
		Layers: in.Layers, FileSystemConfigs: in.FileSystemConfigs, ImageConfig: in.ImageConfig, EphemeralStorage: in.EphemeralStorage, SnapStart: in.SnapStart,
		LoggingConfig: in.LoggingConfig, CapacityProviderConfig: in.CapacityProviderConfig, DurableConfig: in.DurableConfig,
	})
	if err != nil {
		return nil, err
	}
	s.Architectures = member.Every(in.Architectures, func(a lambdawire.Architecture) string { return string(a) })
	f, conf, err := e.functions.Create(c, c.grant, c.ref, function.Creation{Settings: s, Zip: zip, Tags: in.Tags, Publish: member.True(in.Publish)})
	if err != nil {
		return nil, err
	}
	return new(lambdawire.CreateFunctionOutput(e.show(c, c.grant, f, conf, published(c.ref, conf)))), nil
}

// published is the version that was made, where one was.
func published(r function.Ref, c *function.Configuration) function.Ref {
	if r.Qualifier = ""; c.Version != "$LATEST" {
		r.Qualifier = c.Version
	}
	return r
}

// refused says what CreateFunction asks for and Kura does not have.
func refused(in *lambdawire.CreateFunctionInput) error {
	switch {
	case in.PackageType == lambdawire.PackageTypeImage || in.Code.ImageUri != nil:
		return invalid("Functions of PackageType Image are not supported: code is a zip.")
	case in.CodeSigningConfigArn != nil && *in.CodeSigningConfigArn != "":
		return invalid("CodeSigningConfigArn is not supported.")
	case in.TenancyConfig != nil || in.PublishTo != "":
		return invalid("TenancyConfig and PublishTo are not supported.")
	}
	return nil
}

// source is where code comes from.
type source lambdawire.FunctionCode

// zip is the code that a request brings or names. What it names takes room until done is called.
func (e edge) zip(c call, s source) (zip []byte, done func(), err error) {
	done = func() {}
	switch {
	case s.SourceKMSKeyArn != nil:
		return nil, done, invalid("SourceKMSKeyArn is not supported: code is always encrypted.")
	case s.ImageUri != nil:
		return nil, done, invalid("ImageUri is not supported: code is a zip.")
	case s.ZipFile != nil && (s.S3Bucket != nil || s.S3Key != nil || s.S3ObjectVersion != nil):
		return nil, done, invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case s.ZipFile != nil:
		return s.ZipFile, done, nil
	case s.S3Bucket == nil || s.S3Key == nil:
		return nil, done, invalid("Please provide a source for function code.")
	}
	select {
	case e.fetched <- struct{}{}:
		done = func() { <-e.fetched }
	case <-c.R.Context().Done():
		return nil, done, fault.New(function.Throttled, "Rate Exceeded.")
	}
	zip, err = e.ReadObject(c, &c.Caller.Subject, Object{*s.S3Bucket, *s.S3Key, member.Text(s.S3ObjectVersion)}, function.MaxZip)
	return zip, done, err
}

// settings reads those of a request, and refuses what Kura does not have.
func settings(in *lambdawire.UpdateFunctionConfigurationInput) (function.Settings, error) {
	s := function.Settings{
		Description: in.Description, Role: in.Role, Handler: in.Handler, Timeout: number(in.Timeout), Memory: number(in.MemorySize), Key: in.KMSKeyArn,
	}
	for what, given := range map[string]bool{
		"VpcConfig":              in.VpcConfig != nil && len(in.VpcConfig.SubnetIds)+len(in.VpcConfig.SecurityGroupIds) > 0,
		"Layers":                 len(in.Layers) > 0,
		"FileSystemConfigs":      len(in.FileSystemConfigs) > 0,
		"ImageConfig":            in.ImageConfig != nil,
		"SnapStart":              in.SnapStart != nil && in.SnapStart.ApplyOn != lambdawire.SnapStartApplyOnNone && in.SnapStart.ApplyOn != "",
		"CapacityProviderConfig": in.CapacityProviderConfig != nil,
		"DurableConfig":          in.DurableConfig != nil,
	} {
		if given {
			return s, invalid(what + " is not supported.")
		}
	}
	if in.Runtime != "" {
		s.Runtime = new(string(in.Runtime))
	}
	if in.Environment != nil {
		if s.Environment = in.Environment.Variables; s.Environment == nil {
			s.Environment = map[string]string{}
		}
	}
	if in.DeadLetterConfig != nil {
		s.DeadLetter = new(member.Text(in.DeadLetterConfig.TargetArn))
	}
	if in.TracingConfig != nil && in.TracingConfig.Mode != "" {
		if in.TracingConfig.Mode != lambdawire.TracingModePassThrough {
			return s, invalid("TracingConfig Mode Active is not supported: there is no X-Ray.")
		}
		s.Tracing = new(string(in.TracingConfig.Mode))
	}
	if in.EphemeralStorage != nil {
		s.Ephemeral = number(in.EphemeralStorage.Size)
	}
	if l := in.LoggingConfig; l != nil {
		if l.ApplicationLogLevel != "" || l.SystemLogLevel != "" {
			return s, invalid("LoggingConfig.ApplicationLogLevel and SystemLogLevel can only be set with the LogFormat JSON, which is not supported.")
		}
		s.Logging = &function.Logging{Format: string(l.LogFormat), Group: member.Text(l.LogGroup)}
	}
	return s, nil
}

func number(n *int32) *int {
	if n == nil {
		return nil
	}
	return new(int(*n))
}

func (e edge) updateCode(c call, in *lambdawire.UpdateFunctionCodeInput) (*lambdawire.UpdateFunctionCodeOutput, error) {
	if in.PublishTo != "" {
		return nil, invalid("PublishTo is not supported.")
	}
	zip, done, err := e.zip(c, source{
		ZipFile: in.ZipFile, S3Bucket: in.S3Bucket, S3Key: in.S3Key, S3ObjectVersion: in.S3ObjectVersion, ImageUri: in.ImageUri, SourceKMSKeyArn: in.SourceKMSKeyArn,
	})
	defer done()
	if err != nil {
		return nil, err
	}
	f, conf, err := e.functions.UpdateCode(c, c.grant, c.ref, function.NewCode{
		Zip: zip, Publish: member.True(in.Publish), Dry: member.True(in.DryRun), Revision: in.RevisionId,
		Architectures: member.Every(in.Architectures, func(a lambdawire.Architecture) string { return string(a) }),
	})
	if err != nil {
		return nil, err
	}
	return new(lambdawire.UpdateFunctionCodeOutput(e.show(c, c.grant, f, conf, published(c.ref, conf)))), nil
}

func (e edge) configure(c call, in *lambdawire.UpdateFunctionConfigurationInput) (*lambdawire.UpdateFunctionConfigurationOutput, error) {
	s, err := settings(in)
	if err != nil {
		return nil, err
	}
	f, err := e.functions.Configure(c, c.grant, c.ref, s, in.RevisionId)
	if err != nil {
		return nil, err
	}
	return new(lambdawire.UpdateFunctionConfigurationOutput(e.show(c, c.grant, f, &f.Latest, c.ref))), nil
}

func (e edge) get(c call, _ *lambdawire.GetFunctionInput) (*lambdawire.GetFunctionOutput, error) {
	f, conf, err := e.functions.Configuration(c.ref)
	if err != nil {
		return nil, err
	}
	shown := e.show(c, c.grant, f, conf, c.ref)
	out := &lambdawire.GetFunctionOutput{Configuration: &shown, Code: &lambdawire.FunctionCodeLocation{RepositoryType: new("S3")}}
	// Tags are for who may list them.
	if d := e.functions.Demand("lambda:ListTags", c.ref.Unqualified()); len(f.Tags) > 0 {
		if c.grant.May(d) {
			out.Tags = f.Tags
		} else {
			out.TagsError = &lambdawire.TagsError{ErrorCode: new("AccessDeniedException"), Message: new("You are not authorized to perform: lambda:ListTags")}
		}
	}
	if f.Reserved != nil {
		out.Concurrency = &lambdawire.Concurrency{ReservedConcurrentExecutions: new(int32(*f.Reserved))}
	}
	return out, nil
}

const timeLayout = "2006-01-02T15:04:05.000-0700"

// show is a configuration as it is answered, by the name under which it was asked for.
func (e edge) show(ctx context.Context, g authz.Grant, f *function.Function, c *function.Configuration, as function.Ref) lambdawire.FunctionConfiguration {
	out := lambdawire.FunctionConfiguration{
		FunctionName: &f.Name, FunctionArn: new(e.functions.ARN(function.Ref{Account: f.Account, Name: f.Name, Qualifier: as.Qualifier})),
		Runtime: lambdawire.Runtime(c.Runtime), Role: &c.Role, Handler: &c.Handler, CodeSize: &c.Code.Size, Description: &c.Description,
		Timeout: new(int32(c.Timeout)), MemorySize: new(int32(c.Memory)), LastModified: new(c.Modified.UTC().Format(timeLayout)),
		CodeSha256: &c.Code.SHA256, Version: &c.Version, KMSKeyArn: member.Given(c.Key), RevisionId: &c.Revision,
		TracingConfig: &lambdawire.TracingConfigResponse{Mode: lambdawire.TracingMode(c.Tracing)},
		State:         lambdawire.StateActive, LastUpdateStatus: lambdawire.LastUpdateStatusSuccessful, PackageType: lambdawire.PackageTypeZip,
		Architectures:    member.Every(c.Architectures, func(a string) lambdawire.Architecture { return lambdawire.Architecture(a) }),
		EphemeralStorage: &lambdawire.EphemeralStorage{Size: new(int32(c.Ephemeral))},
		SnapStart:        &lambdawire.SnapStartResponse{ApplyOn: lambdawire.SnapStartApplyOnNone, OptimizationStatus: lambdawire.SnapStartOptimizationStatusOff},
		LoggingConfig: &lambdawire.LoggingConfig{
			LogFormat: lambdawire.LogFormat(c.Logging.Format), LogGroup: new(c.LogGroup(f.Name)),
		},
	}
	if c.DeadLetter != "" {
		out.DeadLetterConfig = &lambdawire.DeadLetterConfig{TargetArn: &c.DeadLetter}
	}
	if c.Environment != nil {
		out.Environment = e.environment(ctx, g, f, c)
	}
	return out
}

// environment are the variables, or why they are not shown.
func (e edge) environment(ctx context.Context, g authz.Grant, f *function.Function, c *function.Configuration) *lambdawire.EnvironmentResponse {
	variables, err := e.functions.Environment(ctx, g, f, c)
	if err == nil {
		return &lambdawire.EnvironmentResponse{Variables: variables}
	}
	if fault.Of(err) == "" {
		e.Log.Error("functions: environment", "function", f.Name, "err", err)
	}
	return &lambdawire.EnvironmentResponse{Error: &lambdawire.EnvironmentError{
		ErrorCode: new("AccessDeniedException"),
		Message:   new("Lambda was unable to decrypt your environment variables because the KMS access was denied. Please check your KMS permissions."),
	}}
}

// listed is one line of ListFunctions.
type listed struct {
	f *function.Function
	c *function.Configuration
}

func (l listed) key() string { return fmt.Sprintf("%s\x00%20s", l.f.Name, versionOrder(l.c.Version)) }

// versionOrder puts $LATEST before the numbers.
func versionOrder(v string) string {
	if v == "$LATEST" {
		return ""
	}
	return v
}

func (e edge) list() *api.Op {
	return api.Declare(api.Decl[lambdawire.ListFunctionsInput, lambdawire.ListFunctionsOutput]{
		Wire: &lambdawire.ListFunctions, Class: audit.Management, Access: api.List,
		Demands: func(c *api.Call, _ *lambdawire.ListFunctionsInput) ([]authz.Demand, error) {
			return c.Need("lambda:ListFunctions", authz.Resource{ARN: "*", Account: account(c)}, nil), nil
		},
		Do: func(ctx context.Context, g authz.Grant, c *api.Call, in *lambdawire.ListFunctionsInput) (*lambdawire.ListFunctionsOutput, error) {
			functions, err := e.functions.List(g, account(c))
			if err != nil {
				return nil, err
			}
			var all []listed
			for _, f := range functions {
				all = append(all, listed{f, &f.Latest})
				if in.FunctionVersion == lambdawire.FunctionVersionAll {
					for _, v := range f.All() {
						all = append(all, listed{f, v})
					}
				}
			}
			some, next, err := page(all, listed.key, in.Marker, in.MaxItems, 50)
			if err != nil {
				return nil, err
			}
			show := func(l listed) lambdawire.FunctionConfiguration {
				r := function.Ref{}
				if in.FunctionVersion == lambdawire.FunctionVersionAll {
					r.Qualifier = l.c.Version
				}
				return e.show(ctx, g, l.f, l.c, r)
			}
			return &lambdawire.ListFunctionsOutput{Functions: member.Every(some, show), NextMarker: next}, nil
		},
	})
}
