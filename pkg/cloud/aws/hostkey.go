package aws

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/wgmesh/router/pkg/cloud"
)

// hostKeyTag is the tag that inventories read.
const hostKeyTag = "mesh_host_key"

// A HostKey is the tag mesh_host_key of this machine. A policy has to let an instance
// write that tag of its own and no other: examples/terraform/aws/identity.tf.
type HostKey struct {
	id       string
	pace     cloud.Pace
	renew    func()
	describe call[ec2.DescribeTagsInput, ec2.DescribeTagsOutput]
	create   call[ec2.CreateTagsInput, ec2.CreateTagsOutput]
}

// ConnectHostKey finds this machine and its role.
func ConnectHostKey(ctx context.Context, o cloud.Way) (*HostKey, error) {
	m := metadata(o)
	id, err := get(ctx, m, "instance-id")
	if err != nil {
		return nil, err
	}
	w := way{Way: o}
	if err := w.own(ctx, m); err != nil {
		return nil, err
	}
	api, _, renew, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &HostKey{id: id, pace: o.Pace, renew: renew, describe: api.DescribeTags, create: api.CreateTags}, nil
}

// Machine is the id of the instance.
func (h *HostKey) Machine() string { return h.id }

// Place names the tag.
func (h *HostKey) Place() string { return "tag " + hostKeyTag + " of " + h.id }

// Read returns what is published, or what somebody gave.
func (h *HostKey) Read(ctx context.Context) (line string, err error) {
	err = h.pace.Try(ctx, h.renew, func(ctx context.Context) error {
		out, err := h.describe(ctx, &ec2.DescribeTagsInput{Filters: []types.Filter{
			{Name: aws.String("resource-id"), Values: []string{h.id}},
			{Name: aws.String("key"), Values: []string{hostKeyTag}},
		}})
		if err != nil {
			return explain(h.Place()+": ec2:DescribeTags", err)
		}
		for _, t := range out.Tags {
			if aws.ToString(t.ResourceId) == h.id && aws.ToString(t.Key) == hostKeyTag {
				line = aws.ToString(t.Value)
			}
		}
		return nil
	})
	return line, err
}

// Write publishes a line.
func (h *HostKey) Write(ctx context.Context, line string) error {
	return h.pace.Try(ctx, h.renew, func(ctx context.Context) error {
		_, err := h.create(ctx, &ec2.CreateTagsInput{
			Resources: []string{h.id}, Tags: []types.Tag{{Key: aws.String(hostKeyTag), Value: aws.String(line)}},
		})
		return wrap(h.Place()+": ec2:CreateTags", err)
	})
}
