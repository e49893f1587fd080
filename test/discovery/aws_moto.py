"""AWS, played by moto, which checks signatures and policies as AWS does."""

import json
import logging
import os
import urllib.request

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "100000"  # until enforce() says otherwise
import boto3
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
REGION = "eu-central-1"
API = "ec2.%s.amazonaws.com" % REGION


class AWS:
    def __init__(self):
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        self.port = self.server.get_host_and_port()[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.session = boto3.Session(aws_access_key_id="AKIATEST", aws_secret_access_key="test", region_name=REGION)
        self.ec2 = self.session.client("ec2", endpoint_url=self.url)
        self.image = self.ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]

    def vm(self, name, public="", tags=()):
        tags = {**({"Name": name} if name else {}), **dict(tags)}
        specification = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
        vm = self.ec2.run_instances(ImageId=self.image, MinCount=1, MaxCount=1, TagSpecifications=specification)["Instances"][0]["InstanceId"]
        if public:
            address = self.ec2.allocate_address(Domain="vpc", Address=public)
            self.ec2.associate_address(AllocationId=address["AllocationId"], InstanceId=vm)
        return vm

    def user(self, name, policy):
        """A user who may do what the policy says: the environment for it."""
        iam = self.session.client("iam", endpoint_url=self.url)
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="discovery", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def enforce(self, on):
        """Turn the checks of signatures and policies on or off."""
        count = b"0" if on else b"100000"
        request = urllib.request.Request(self.url + "/moto-api/reset-auth", count, {"Content-Type": "text/plain"})
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=300).close()
