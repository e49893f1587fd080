"""Stand-ins for clients that azure_rm_common imports and an inventory never calls.

The collection imports Azure's clients for everything in one block, three dozen packages, and without one of them has none.
Azure's real login, transport, compute and network clients are there (.ci/requirements-clouds.txt). What is imported from
the others is a class that fails when it is used. Python runs this file by itself, when its folder is in PYTHONPATH.
"""

import importlib.abc
import importlib.machinery
import sys
import types

UNUSED = """
azure.mgmt.authorization azure.mgmt.automation azure.mgmt.batch azure.mgmt.cdn azure.mgmt.containerinstance azure.mgmt.containerregistry
azure.mgmt.containerservice azure.mgmt.datafactory azure.mgmt.dns azure.mgmt.eventhub azure.mgmt.iothub azure.mgmt.loganalytics
azure.mgmt.managementgroups azure.mgmt.marketplaceordering azure.mgmt.monitor azure.mgmt.mysqlflexibleservers azure.mgmt.notificationhubs
azure.mgmt.postgresqlflexibleservers azure.mgmt.privatedns azure.mgmt.rdbms azure.mgmt.recoveryservicesbackup azure.mgmt.resource
azure.mgmt.resourcehealth azure.mgmt.search azure.mgmt.servicebus azure.mgmt.sql azure.mgmt.storage azure.mgmt.trafficmanager
azure.mgmt.web azure.storage kiota_authentication_azure msgraph msgraph_core
""".split()


class Module(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def use(*_args, **_kwargs):
            raise AssertionError("%s.%s is used, and not installed here: add it to .ci/requirements-clouds.txt" % (self.__name__, name))

        return type(name, (), {"__init__": use})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if any(name == one or name.startswith(one + ".") for one in UNUSED):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Module(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(Finder())
